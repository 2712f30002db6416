// One Server of a job: puts the floors together, starts them in the specified order, and ends them in order.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cache/job_store.h"
#include "collective/exchange.h"
#include "job/job.h"
#include "net/event_loops.h"
#include "net/http_server.h"
#include "net/peer_server.h"
#include "options/server_options.h"
#include "rounds/round_context.h"
#include "server/limit_report.h"

namespace msfl::server {

struct StartFeature {
  model::Feature feature;
  const float* values = nullptr;  // C order
};

// Called, on a thread of the Server, when it has left the cluster: `fault` is empty if the job was stopped,
// else what made it impossible to go on. Stop() still has to be called.
using OnStopped = std::function<void(std::string fault)>;

class Server {
 public:
  // Makes no thread and opens nothing.
  Server(ServerOptions options, job::OnIterationEnded on_iteration_ended, OnStopped on_stopped);
  ~Server();

  // Connects, agrees with the job's record, listens, registers. Blocks. After an error only the destructor
  // may be called.
  Result<void> Start(const std::vector<StartFeature>& features, std::uint64_t first_iteration);
  // No new requests, leave the cluster, close, join the threads. Idempotent; not to be called from a thread
  // of the Server. While Start() is at work on another thread it is cut short and fails (Errc::kStopping).
  void Stop();

  // Of an event that was told: there is a job.
  void NoteRecorded(std::uint64_t iteration) { job_->NoteRecorded(iteration); }
  // 0 before Start().
  std::uint16_t http_port() const;
  const std::string& node_id() const { return node_id_; }
  // The one whose iteration is served; empty before Start().
  std::string instance_name() const;

  // From any thread at any time, also before and during Start() and Stop(). Names and meanings:
  // docs/metrics.md.
  std::map<std::string, std::uint64_t> Stats() const;
  // What a device that asks now finds: "starting", "serving", "safemode" (the cache can't be reached),
  // "disabled", "finished" or "stopping".
  std::string_view service() const;

 private:
  void NoteEnded(job::IterationEnded ended);
  // Ends what Start() may wait for at length.
  void CutStartShort();
  Result<void> StillWanted();
  Result<void> Connect();
  Result<void> OpenJob(const std::vector<StartFeature>& features, std::uint64_t first_iteration);
  Result<void> Listen(std::size_t max_body_bytes);
  Result<void> ListenToPeers();
  std::string HttpAddress() const;
  // Until its loop ends.
  Task<> WatchLimits();
  // Runs a task on the control loop and waits for it.
  template <class T>
  Result<T> OnControlLoop(Task<Result<T>> task);

  const ServerOptions options_;
  const job::OnIterationEnded on_iteration_ended_;
  const OnStopped on_stopped_;

  std::shared_ptr<BufferPool> pool_;
  net::EventLoops loops_;
  // Below: made by Start(), in this order, so that the destructor undoes them in reverse.
  std::unique_ptr<net::PeerServer> peers_;
  std::atomic<bool> exchange_made_{false};
  std::unique_ptr<collective::Exchange> exchange_;
  std::unique_ptr<cache::RedisClient> redis_;
  std::unique_ptr<cache::JobStore> store_;
  std::unique_ptr<job::Job> job_;
  std::atomic<job::Job*> job_made_{nullptr};  // as other Servers' questions find it
  std::unique_ptr<rounds::RoundContext> rounds_;
  std::unique_ptr<net::HttpServer> http_;
  LimitReport limit_report_;
  std::future<void> running_, beating_;
  std::string advertised_http_host_, node_id_, tcp_address_;

  std::atomic<std::uint64_t> iterations_valid_{0}, iterations_failed_{0};

  std::mutex mutex_;  // held by Start() and Stop() throughout
  bool stopped_ = false;
  mutable std::mutex made_mutex_;  // guards what follows, and that what Start() makes is set
  bool stop_requested_ = false, connected_ = false;
};

}  // namespace msfl::server
