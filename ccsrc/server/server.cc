#include "server/server.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_future.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "base/lost_coroutine.h"
#include "base/non_finite.h"
#include "rounds/routes.h"
#include "server/advertised.h"

namespace msfl::server {
namespace {

// What an upload may hold besides the weights: names, signatures, certificates, evaluation items.
constexpr std::size_t kUploadOverhead = 1 << 20;
// How long memory of large bodies is kept for the next ones, and how often struck limits are logged.
constexpr std::chrono::seconds kWatchInterval(15);
constexpr std::chrono::milliseconds kStopGrace(5000);

std::size_t LoopCount(const ServerOptions& options) {
  if (options.io_threads != 0) return options.io_threads;
  return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 8);
}

cache::JobStoreOptions StoreOptions(const ServerOptions& options) {
  cache::JobStoreOptions store;
  store.fl_name = options.fl_name;
  store.iterations = options.iterations;
  store.heartbeat_expiry = std::chrono::milliseconds(options.dead_after_ms);
  store.settings = job::SettingsText(options.cluster_settings);
  return store;
}

net::HttpOptions Limits(const ServerOptions& options, std::size_t max_body_bytes) {
  using std::chrono::milliseconds;
  const LimitOptions& limits = options.limits;
  net::HttpOptions http;
  http.max_body_bytes = max_body_bytes;
  http.max_connections = options.connection_limit;
  http.body_memory = limits.body_memory;
  http.body_wait = milliseconds(limits.body_wait_ms);
  http.address_share = limits.address_share;
  http.header_timeout = milliseconds(limits.header_ms);
  http.idle_timeout = milliseconds(limits.idle_ms);
  http.body_stall_timeout = milliseconds(limits.stall_ms);
  http.minimum_rate = limits.minimum_rate;
  http.transfer_timeout = milliseconds(limits.transfer_ms);
  return http;
}

// `<tcp address>::<time>::<five digits>` (cluster.md, section 2.2).
std::string NodeId(const std::string& tcp_address) {
  std::random_device random;
  std::uniform_int_distribution<int> five_digits(10000, 99999);
  return tcp_address + "::" + NameTime() + "::" + std::to_string(five_digits(random));
}

}  // namespace

Server::Server(ServerOptions options, job::OnIterationEnded on_iteration_ended, OnStopped on_stopped)
    : options_(std::move(options)),
      on_iteration_ended_(std::move(on_iteration_ended)),
      on_stopped_(std::move(on_stopped)),
      pool_(BufferPool::Create(options_.limits.body_memory)),
      loops_(LoopCount(options_)) {}

Server::~Server() { Stop(); }

template <class T>
Result<T> Server::OnControlLoop(Task<Result<T>> task) {
  return asio::co_spawn(loops_.control(), std::move(task), asio::use_future).get();
}

Result<void> Server::Start(const std::vector<StartFeature>& features, std::uint64_t first_iteration) {
  const std::lock_guard at_work(mutex_);
  if (const Result<void> wanted = StillWanted(); !wanted) return wanted;
  loops_.Start();
  if (const Result<void> done = ListenToPeers(); !done) return done;
  if (const Result<void> done = Connect(); !done) return done;
  if (const Result<void> done = OpenJob(features, first_iteration); !done) return done;
  std::size_t weights = 0;
  for (const StartFeature& start : features)
    weights += start.feature.elements * sizeof(float) + start.feature.name.size() + 64;
  if (const Result<void> done = Listen(weights + kUploadOverhead); !done) return done;

  if (const Result<void> wanted = StillWanted(); !wanted) return wanted;
  const std::string http_address = HttpAddress();
  if (const Result<void> joined = OnControlLoop(job_->Join(node_id_, tcp_address_, http_address)); !joined) {
    return Error{joined.error().code,
                 "Failed to register server " + node_id_ + " to distributed cache: " + joined.error().text};
  }
  beating_ = asio::co_spawn(loops_.loop(0), job_->Beat(), asio::use_future);
  asio::co_spawn(loops_.control(), WatchLimits(), asio::detached);
  job_->Recover();
  running_ = asio::co_spawn(
      loops_.control(),
      [this]() -> Task<> {
        LostCoroutine lost([this] {
          job_->Fail("the job can't go on, there may be no memory");
          on_stopped_("the job can't go on, there may be no memory");
        });
        std::string fault = co_await job_->Run();
        lost.Ended();
        on_stopped_(std::move(fault));
      },
      asio::use_future);
  return OnControlLoop(job_->AwaitEntered());
}

Task<> Server::WatchLimits() {
  const Executor executor = co_await asio::this_coro::executor;
  asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor> timer(executor);
  while (true) {
    timer.expires_after(kWatchInterval);
    co_await timer.async_wait(kAwait);
    try {
      pool_->TrimUnused();
    } catch (const std::bad_alloc&) {  // for the list of what is to be freed: at the next time
    }
    limit_report_.Log(http_->stats(), peers_->strikes());
  }
}

void Server::CutStartShort() {
  const std::lock_guard lock(made_mutex_);
  stop_requested_ = true;
  if (job_) job_->RequestStop();
  if (redis_ && !connected_) redis_->Stop();
}

Result<void> Server::StillWanted() {
  const std::lock_guard lock(made_mutex_);
  if (stop_requested_) return Error{Errc::kStopping, "stopped while it was starting"};
  return {};
}

Result<void> Server::ListenToPeers() {
  boost::system::error_code failed;
  static_cast<void>(asio::ip::make_address(options_.tcp_server_ip, failed));
  if (failed) {
    return Error{Errc::kInvalidArgument,
                 "The tcp_server_ip '" + options_.tcp_server_ip + "' is not an IP address"};
  }
  const Result<Advertised> advertised = Advertise(options_);
  if (!advertised) return advertised.error();
  // The node's name tells its port, and the exchange has to know the name.
  net::PeerHandler handler;
  handler.answer = [this](std::span<const std::uint8_t> head) -> Task<net::PeerAnswer> {
    net::PeerAnswer answer;
    answer.refused = true;
    job::Job* const job = job_made_.load();
    recovery::Replication* const replication = job == nullptr ? nullptr : job->replication();
    if (replication != nullptr && replication->Answers(head)) {
      answer = co_await replication->Answer(head);
    } else if (exchange_made_) {
      answer = co_await exchange_->Handler().answer(head);
    }
    co_return answer;
  };
  handler.recognises = [this](std::span<const std::uint8_t> head) {
    return exchange_made_ && exchange_->Handler().recognises(head);
  };
  {
    const std::lock_guard lock(made_mutex_);
    peers_ = std::make_unique<net::PeerServer>(loops_, net::PeerServerOptions(), std::move(handler));
  }
  if (const Result<void> listening = peers_->Listen(options_.tcp_server_ip, 0); !listening) {
    return Error{Errc::kAddressInUse,
                 "Can't bind tcp_server_ip '" + options_.tcp_server_ip + "': " + listening.error().text};
  }
  advertised_http_host_ = advertised->http_host;
  tcp_address_ = advertised->tcp_host + ":" + std::to_string(peers_->port());
  node_id_ = NodeId(tcp_address_);
  {
    const std::lock_guard lock(made_mutex_);
    exchange_ = std::make_unique<collective::Exchange>(options_.fl_name, node_id_, pool_);
  }
  exchange_made_ = true;
  return {};
}

std::string Server::HttpAddress() const {
  return "http://" + advertised_http_host_ + ":" + std::to_string(http_->port()) +
         rounds::UrlPrefix(options_.http_url_prefix);
}

Result<void> Server::Connect() {
  const Result<cache::RedisAddress> address = cache::RedisAddress::Parse(options_.cache_address);
  if (!address) return address.error();
  cache::RedisOptions redis;
  redis.address = *address;
  {
    const std::lock_guard lock(made_mutex_);
    redis_ = std::make_unique<cache::RedisClient>(loops_, redis);
  }
  if (const Result<void> wanted = StillWanted(); !wanted) return wanted;
  const Result<void> connected = redis_->Connect(std::chrono::milliseconds(options_.cache_patience_ms));
  {
    const std::lock_guard lock(made_mutex_);
    connected_ = true;
  }
  if (const Result<void> wanted = StillWanted(); !wanted) return wanted;
  if (!connected) {
    return Error{connected.error().code,
                 "Link to distributed cache failed, distributed cache address: " + address->ForDisplay() +
                     ", enable ssl: 0: " + connected.error().text};
  }
  return {};
}

Result<void> Server::OpenJob(const std::vector<StartFeature>& features, std::uint64_t first_iteration) {
  store_ = std::make_unique<cache::JobStore>(*redis_, StoreOptions(options_));
  {
    const std::lock_guard lock(made_mutex_);
    job_ = std::make_unique<job::Job>(loops_, *store_, *exchange_, pool_, options_,
                                      [this](job::IterationEnded ended) { NoteEnded(std::move(ended)); });
  }
  job_made_ = job_.get();
  if (const Result<void> wanted = StillWanted(); !wanted) return wanted;
  if (const Result<void> opened = OnControlLoop(job_->Open(first_iteration)); !opened) {
    if (opened.error().code == Errc::kStopping) return opened;
    const std::string display = cache::RedisAddress::Parse(options_.cache_address)->ForDisplay();
    const bool numbers = opened.error().code == Errc::kDisagreement;
    return Error{opened.error().code, std::string(numbers ? "Sync hyper params" : "Sync instance info") +
                                          " with distributed cache failed, distributed_cache_address: " +
                                          display + ": " + opened.error().text};
  }

  std::vector<model::Feature> declared;
  for (const StartFeature& start : features) declared.push_back(start.feature);
  if (declared.empty()) return OnControlLoop(job_->RefuseEmptyModel());
  const Result<std::shared_ptr<const model::Layout>> layout = model::Layout::Make(std::move(declared));
  if (!layout) return layout.error();
  if (const Result<void> agreed = OnControlLoop(job_->AgreeOnModel(**layout)); !agreed) return agreed;

  const std::shared_ptr<model::Model> model = model::Model::Make(*layout, *pool_);
  for (const StartFeature& start : features) {
    if (!AllFinite(start.values, start.feature.elements)) {
      return Error{Errc::kInvalidArgument, "Verify feature map failed for initial model. Feature " +
                                               start.feature.name + " holds NaN or infinity"};
    }
    const std::span<float> values = model->values(*(*layout)->Find(start.feature.name));
    std::memcpy(values.data(), start.values, values.size_bytes());
  }
  job_->SetStartModel(model);
  return {};
}

Result<void> Server::Listen(std::size_t max_body_bytes) {
  if (options_.limits.body_memory < max_body_bytes) {
    constexpr std::uint64_t kMiB = 1 << 20;
    return Error{Errc::kInvalidArgument,
                 "limits.body_memory is " + std::to_string(options_.limits.body_memory / kMiB) +
                     " MiB, but one update of this model may have " + std::to_string(max_body_bytes) +
                     " bytes; allowed is " + std::to_string((max_body_bytes + kMiB - 1) / kMiB) + " or more"};
  }
  net::HttpOptions http = Limits(options_, max_body_bytes);
  http.on_lost = [this] { job_->Fail("devices can't be served any more, there may be no memory"); };
  {
    const std::lock_guard lock(made_mutex_);
    rounds_ = std::make_unique<rounds::RoundContext>(*job_, *store_, job_->options());
    http_ = std::make_unique<net::HttpServer>(loops_, pool_, http, rounds::MakeRoutes(*rounds_));
  }
  if (const Result<void> listening = http_->Listen(options_.http_host, options_.http_port); !listening) {
    return Error{listening.error().code, "Http server starting failed. " + listening.error().text};
  }
  return {};
}

void Server::Stop() {
  CutStartShort();
  const std::lock_guard at_work(mutex_);
  if (stopped_) return;
  stopped_ = true;
  // Devices are answered (safemode) until the cluster knows that this Server has left.
  if (running_.valid()) running_.wait();
  if (beating_.valid()) beating_.wait();  // it must not outlive the job
  if (exchange_) exchange_->Cancel();
  recovery::Replication* const replication = job_ ? job_->replication() : nullptr;
  if (replication != nullptr) replication->Cancel();
  if (peers_) peers_->Stop();
  if (http_) http_->Stop(kStopGrace);
  if (replication != nullptr) replication->WaitForNone();
  if (redis_) redis_->Stop();
  // Not before another thread's CutStartShort() is through with the loops: it waits for them.
  const std::lock_guard made(made_mutex_);
  loops_.Stop();
  if (http_) limit_report_.Log(http_->stats(), peers_->strikes());  // what has struck since the last time
}

}  // namespace msfl::server
