// How a Server is doing, for monitoring; from any thread at any time.
#include "server/limit_report.h"
#include "server/server.h"

namespace msfl::server {

std::uint16_t Server::http_port() const {
  const std::lock_guard lock(made_mutex_);
  return http_ ? http_->port() : 0;
}

void Server::NoteEnded(job::IterationEnded ended) {
  ++(ended.valid ? iterations_valid_ : iterations_failed_);
  on_iteration_ended_(std::move(ended));
}

std::map<std::string, std::uint64_t> Server::Stats() const {
  std::map<std::string, std::uint64_t> stats{{"iterations", options_.iterations},
                                             {"iterations_valid_total", iterations_valid_},
                                             {"iterations_failed_total", iterations_failed_},
                                             {"pool_idle_bytes", pool_->idle_bytes()}};
  const std::lock_guard lock(made_mutex_);
  // What is not there yet has done nothing.
  static const net::HttpStats kNoHttp;
  const net::HttpStats& http = http_ ? http_->stats() : kNoHttp;
  stats["connections_open"] = http.connections_open;
  static const net::PeerStrikes kNoStrikes;
  AddLimits(http, peers_ ? peers_->strikes() : kNoStrikes, stats);
  stats["body_memory_used"] = http.body_memory_used;
  stats["bodies_waiting"] = http.bodies_waiting;
  stats["requests"] = http.requests;
  stats["bytes_received"] = http.bytes_received;
  stats["bytes_sent"] = http.bytes_sent;
  static const rounds::RoundStatistics kNoRounds;
  (rounds_ ? rounds_->statistics : kNoRounds).AddTo(stats);
  stats["cache_connected"] = connected_ && redis_->available() ? 1 : 0;

  static const net::PeerTraffic kNoTraffic;
  static const collective::ExchangeStatistics kNoExchange;
  const net::PeerTraffic& answered = peers_ ? peers_->traffic() : kNoTraffic;
  const net::PeerTraffic& asked = exchange_ ? exchange_->traffic() : kNoTraffic;
  stats["peer_connections_open"] = peers_ ? peers_->connections() : 0;
  stats["peer_bytes_received"] = answered.received + asked.received;
  stats["peer_bytes_sent"] = answered.sent + asked.sent;
  (exchange_ ? exchange_->statistics() : kNoExchange).AddTo(stats);

  const recovery::Replication* const replication = job_ ? job_->replication() : nullptr;
  const auto recovered = replication ? replication->statistics() : recovery::Replication::Statistics();
  stats["held_parts"] = recovered.held_parts;
  stats["parts_copied_total"] = recovered.copies;
  stats["parts_taken_over_total"] = recovered.taken_over;
  stats["holders_dropped_total"] = recovered.dropped;

  job::Gate::Switches switches;
  job::Job::Progress progress;
  std::shared_ptr<const job::Iteration> iteration;
  if (job_) {
    switches = job_->gate().switches();
    progress = job_->progress();
    iteration = job_->gate().Look().iteration;
  }
  stats["switches_total"] = switches.count;
  stats["switch_us_total"] = static_cast<std::uint64_t>(switches.time.count());
  stats["started"] = progress.started;
  stats["counted"] = progress.counted;
  stats["iteration"] = iteration ? iteration->number() : 0;
  if (iteration) stats["iterations"] = iteration->rules().iterations;
  return stats;
}

std::string Server::instance_name() const {
  const std::lock_guard lock(made_mutex_);
  if (!job_) return {};
  const std::shared_ptr<const job::Iteration> iteration = job_->gate().Look().iteration;
  return iteration ? iteration->key().instance : std::string();
}

std::string_view Server::service() const {
  const std::lock_guard lock(made_mutex_);
  if (stop_requested_ || (job_ && (job_->stopping() || job_->leaving()))) return "stopping";
  if (!job_) return "starting";
  const job::Gate::View view = job_->gate().Look();
  if (view.iteration == nullptr) return "starting";
  switch (view.service) {
    case job::Service::kServing:
      return "serving";
    case job::Service::kDisabled:
      return "disabled";
    case job::Service::kFinished:
      return "finished";
    case job::Service::kSafemode:
      return "safemode";
    case job::Service::kStopping:
      break;
  }
  return "stopping";
}

}  // namespace msfl::server
