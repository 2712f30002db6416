#include "net/http_server.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/lost_coroutine.h"
#include "net/admission.h"
#include "net/http_session.h"
#include "net/socket_options.h"
#include "net/stream.h"

namespace msfl::net {
namespace {

using asio::ip::tcp;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;
using Timer = asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor>;

constexpr int kBacklog = 4096;  // what Linux allows unless it is told otherwise (net.core.somaxconn)
constexpr std::chrono::milliseconds kSweepPeriod{250};
// Without descriptors, accepting fails again and again: give the open connections time to end.
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr std::chrono::minutes kComplaintInterval{1};

}  // namespace

// Its coroutines keep it alive; what belongs to a loop is let go by Stop(), while the loops still are.
struct HttpServer::Impl : std::enable_shared_from_this<Impl> {
  Impl(EventLoops& loops_, std::shared_ptr<BufferPool> pool, HttpOptions options,
       std::vector<HttpRoute> routes)
      : loops(loops_),
        context(
            std::make_shared<HttpContext>(std::move(pool), options, std::move(routes), loops_.io_count())),
        admission(std::make_shared<Admission>(loops_, context)) {}

  Result<void> Open(const std::string& host, std::uint16_t port_wanted);
  void Start();
  void Stop(std::chrono::milliseconds grace);

  // `hold` counts them as live from before they start.
  static Task<> Accept(std::shared_ptr<Impl> self, LiveHold hold);
  struct Accepting {
    std::size_t loop = 0;  // of the next connection
    bool evicted = false;  // an idle one for its descriptor
    SteadyClock::time_point next_complaint = SteadyClock::now();
  };
  void Complain(Accepting& state, const char* what, const std::string& cause);
  static Task<> AcceptNext(std::shared_ptr<Impl> self, Accepting& state);
  static Task<> Sweep(std::shared_ptr<Impl> self, std::size_t index, LiveHold hold);
  void Admit(TcpStream socket, std::size_t index, const AddressKey& address, AddressShares::Hold place);
  // A coroutine that the server can't do without has ended.
  void NoteLost() {
    if (!context->stopping && context->options.on_lost) context->options.on_lost();
  }
  bool LoopsEnded() { return !loops.running() || loops.loop(0).stopped(); }
  void WaitForNone(LiveCount& count, const char* what);

  EventLoops& loops;
  const std::shared_ptr<HttpContext> context;
  const std::shared_ptr<Admission> admission;
  const std::shared_ptr<LiveCount> sweeps = std::make_shared<LiveCount>();
  std::atomic<bool> sweeps_end{false};
  std::unique_ptr<Acceptor> acceptor;
  std::unique_ptr<Timer> accept_pause;
  std::vector<std::unique_ptr<Timer>> timers;  // of the sweeps
  std::uint16_t port = 0;
  std::atomic<bool> stopped{false};
};

Result<void> HttpServer::Impl::Open(const std::string& host, std::uint16_t port_wanted) {
  const std::string where =
      (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port_wanted);
  if (acceptor)
    return Error{Errc::kInvalidArgument, "this server already listens, it can't listen on " + where};
  if (stopped) return Error{Errc::kStopping, "this server was stopped, it can't listen on " + where};
  error_code ec;
  tcp::endpoint endpoint;
  const auto address = asio::ip::make_address(host, ec);
  if (!ec) {
    endpoint = tcp::endpoint(address, port_wanted);
  } else {
    asio::ip::basic_resolver<tcp, Executor> resolver(loops.loop(0).get_executor());
    const auto found =
        resolver.resolve(host, std::to_string(port_wanted), asio::ip::resolver_base::passive, ec);
    if (ec || found.empty()) {
      return Error{Errc::kInvalidArgument, "can't listen on " + where + ": '" + host +
                                               "' is neither an IP address nor a known host name"};
    }
    endpoint = *found.begin();
  }
  auto opened = std::make_unique<Acceptor>(loops.loop(0).get_executor());
  static_cast<void>(opened->open(endpoint.protocol(), ec));
  if (!ec) static_cast<void>(opened->set_option(asio::socket_base::reuse_address(true), ec));
  // The IPv6 wildcard stands for every address, whatever the system's default says.
  if (!ec && endpoint.address().is_v6() && endpoint.address().is_unspecified()) {
    static_cast<void>(opened->set_option(asio::ip::v6_only(false), ec));
  }
  if (!ec) SetInheritedOptions(opened->native_handle());
  if (!ec) static_cast<void>(opened->bind(endpoint, ec));
  if (!ec) static_cast<void>(opened->listen(kBacklog, ec));
  if (ec) return Error{Errc::kAddressInUse, "can't listen on " + where + ": " + ec.message()};
  port = opened->local_endpoint(ec).port();
  acceptor = std::move(opened);
  return {};
}

void HttpServer::Impl::Start() {
  accept_pause = std::make_unique<Timer>(loops.loop(0).get_executor());
  for (std::size_t i = 0; i < loops.io_count(); ++i) {
    timers.push_back(std::make_unique<Timer>(loops.loop(i).get_executor()));
  }
  const auto self = shared_from_this();
  for (std::size_t i = 0; i < loops.io_count(); ++i) {
    asio::co_spawn(loops.loop(i).get_executor(), Sweep(self, i, LiveHold(sweeps)), asio::detached);
  }
  asio::co_spawn(loops.loop(0).get_executor(), Accept(self, LiveHold(context->live)), asio::detached);
}

Task<> HttpServer::Impl::Accept(std::shared_ptr<Impl> self, LiveHold) {
  Accepting state;
  LostCoroutine lost([self] { self->NoteLost(); });
  while (!self->context->stopping) {
    try {
      co_await AcceptNext(self, state);
    } catch (const std::exception& e) {  // no memory for a moment
      self->Complain(state, "can't serve a connection, there may be no memory: ", e.what());
      std::this_thread::sleep_for(kAcceptPause);  // others may give some back
    }
  }
  lost.Ended();
}

void HttpServer::Impl::Complain(Accepting& state, const char* what, const std::string& cause) {
  if (SteadyClock::now() < state.next_complaint) return;
  MSFL_LOG(kWarning, "port " << port << ' ' << what << cause);
  state.next_complaint = SteadyClock::now() + kComplaintInterval;
}

Task<> HttpServer::Impl::AcceptNext(std::shared_ptr<Impl> self, Accepting& state) {
  const Executor executor = self->loops.loop(state.loop).get_executor();
  error_code ec;
  tcp::endpoint peer;
  TcpStream socket = co_await self->acceptor->async_accept(executor, peer, asio::redirect_error(kAwait, ec));
  if (!ec) {
    state.evicted = false;
    const AddressKey address(peer.address());
    AddressShares::Hold place = co_await Admission::Admit(self->admission, address);
    if (place && !self->context->stopping) {
      self->Admit(std::move(socket), state.loop, address, std::move(place));
      state.loop = (state.loop + 1) % self->loops.io_count();
    }
    co_return;
  }
  if (ec == asio::error::operation_aborted || ec == asio::error::connection_aborted ||
      ec == asio::error::bad_descriptor) {
    co_return;
  }
  const bool out_of_descriptors =
      ec == asio::error::no_descriptors || ec == boost::system::errc::too_many_files_open_in_system;
  if (out_of_descriptors) {
    // The system says so before it looks whether there is anybody to accept.
    error_code ignored;
    co_await self->acceptor->async_wait(Acceptor::wait_read, asio::redirect_error(kAwait, ignored));
    if (self->context->stopping) co_return;
  }
  self->Complain(state, "can't accept: ", ec.message());
  // One for each that is let in: whoever else takes the descriptors must not cost all of them.
  if (out_of_descriptors && !state.evicted) {
    state.evicted = co_await Admission::EvictIdle(self->admission);
    if (state.evicted) co_return;
  }
  state.evicted = false;
  self->accept_pause->expires_after(kAcceptPause);
  co_await self->accept_pause->async_wait(asio::redirect_error(kAwait, ec));
}

void HttpServer::Impl::Admit(TcpStream socket, std::size_t index, const AddressKey& address,
                             AddressShares::Hold place) {
  error_code ignored;
  static_cast<void>(socket.non_blocking(true, ignored));
  if (context->stats.connections_open >= kUnboundedConnections) BoundKernelMemory(socket.native_handle());
  auto session = std::make_shared<HttpSession<TcpStream>>(std::move(socket), context, index, address);
  session->TakePlace(std::move(place));
  asio::co_spawn(loops.loop(index).get_executor(), HttpSession<TcpStream>::Run(std::move(session)),
                 asio::detached);
}

Task<> HttpServer::Impl::Sweep(std::shared_ptr<Impl> self, std::size_t index, LiveHold) {
  Timer& timer = *self->timers[index];
  error_code ec;
  LostCoroutine lost([self] { self->NoteLost(); });
  while (!self->sweeps_end) {
    timer.expires_after(kSweepPeriod);
    co_await timer.async_wait(asio::redirect_error(kAwait, ec));
    self->context->loops[index].sessions.CloseOverdue(SteadyClock::now(), self->context->stats);
  }
  lost.Ended();
}

void HttpServer::Impl::WaitForNone(LiveCount& count, const char* what) {
  constexpr std::chrono::seconds kPatience{1};
  while (!count.WaitForNone(kPatience)) {
    if (LoopsEnded()) return;
    MSFL_LOG(kWarning, "port " << port << " waits for " << what << " to end");
  }
}

void HttpServer::Impl::Stop(std::chrono::milliseconds grace) {
  if (stopped.exchange(true)) return;
  context->stopping = true;
  if (acceptor && !LoopsEnded()) {
    asio::post(loops.loop(0), [self = shared_from_this(), hold = LiveHold(context->live)] {
      error_code ignored;
      static_cast<void>(self->acceptor->close(ignored));
      self->accept_pause->cancel();
    });
    const auto everywhere = [this](void (SessionList::*action)()) {
      for (std::size_t i = 0; i < loops.io_count(); ++i) {
        asio::post(loops.loop(i), [shared = context, i, action] { (shared->loops[i].sessions.*action)(); });
      }
    };
    everywhere(&SessionList::CloseIdle);
    context->bodies.EndWaiting();
    if (!context->live->WaitForNone(grace)) {
      everywhere(&SessionList::CloseAll);
      // What is left now are handlers: each has its own deadline.
      WaitForNone(*context->live, "requests in progress");
    }
    sweeps_end = true;
    for (std::size_t i = 0; i < loops.io_count(); ++i) {
      asio::post(loops.loop(i),
                 [self = shared_from_this(), i, hold = LiveHold(sweeps)] { self->timers[i]->cancel(); });
    }
    WaitForNone(*sweeps, "timers");
  }
  // No coroutine uses them any more, or no loop runs: they must not outlive the loops.
  acceptor.reset();
  accept_pause.reset();
  timers.clear();
}

HttpServer::HttpServer(EventLoops& loops, std::shared_ptr<BufferPool> pool, HttpOptions options,
                       std::vector<HttpRoute> routes)
    : impl_(std::make_shared<Impl>(loops, std::move(pool), options, std::move(routes))) {}

HttpServer::~HttpServer() { impl_->Stop(std::chrono::milliseconds(0)); }

Result<void> HttpServer::Listen(const std::string& host, std::uint16_t port) {
  auto opened = impl_->Open(host, port);
  if (opened.has_value()) impl_->Start();
  return opened;
}

std::uint16_t HttpServer::port() const { return impl_->port; }
const HttpStats& HttpServer::stats() const { return impl_->context->stats; }

void HttpServer::Stop(std::chrono::milliseconds grace) { impl_->Stop(grace); }

}  // namespace msfl::net
