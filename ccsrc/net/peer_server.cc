#include "net/peer_server.h"

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <utility>

#include "base/log.h"
#include "base/lost_coroutine.h"
#include "net/live_count.h"
#include "net/peer_session.h"
#include "net/peer_socket.h"

namespace msfl::net {

namespace {

using asio::ip::tcp;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;
using Timer = asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor>;

// Without descriptors, accepting fails again and again: give the open connections time to end.
constexpr std::chrono::milliseconds kAcceptPause{100};
}  // namespace

// Its coroutines keep it alive.
struct PeerServer::Impl : std::enable_shared_from_this<Impl> {
  Impl(EventLoops& loops_, PeerServerOptions options_, PeerHandler handler_)
      : loops(loops_), context(std::make_shared<PeerContext>(options_, std::move(handler_))) {}

  Result<void> Open(const std::string& ip, std::uint16_t port_wanted);
  void Start();
  void Stop();

  // `hold` counts them as live from before they start.
  static Task<> Accept(std::shared_ptr<Impl> self, LiveHold hold);
  static Task<> AcceptNext(std::shared_ptr<Impl> self);

  EventLoops& loops;
  const std::shared_ptr<PeerContext> context;
  const std::shared_ptr<LiveCount> live = std::make_shared<LiveCount>();
  std::unique_ptr<Acceptor> acceptor;
  std::unique_ptr<Timer> accept_pause;
  std::size_t next_loop = 0;
  std::atomic<bool> stopped{false};
};

Result<void> PeerServer::Impl::Open(const std::string& ip, std::uint16_t port_wanted) {
  const std::string where =
      (ip.find(':') == std::string::npos ? ip : "[" + ip + "]") + ":" + std::to_string(port_wanted);
  error_code fault;
  const auto address = asio::ip::make_address(ip, fault);
  if (fault) return Error{Errc::kInvalidArgument, "can't listen on " + where + ": it is no IP address"};
  if (acceptor || context->stopping) return Error{Errc::kStopping, "can't listen on " + where + " as well"};
  const tcp::endpoint endpoint(address, port_wanted);
  auto opened = std::make_unique<Acceptor>(loops.loop(0).get_executor());
  static_cast<void>(opened->open(endpoint.protocol(), fault));
  if (!fault) static_cast<void>(opened->set_option(asio::socket_base::reuse_address(true), fault));
  if (!fault) static_cast<void>(opened->bind(endpoint, fault));
  if (!fault) static_cast<void>(opened->listen(asio::socket_base::max_listen_connections, fault));
  if (fault) return Error{Errc::kAddressInUse, "can't listen on " + where + ": " + fault.message()};
  context->port = opened->local_endpoint(fault).port();
  acceptor = std::move(opened);
  return {};
}

void PeerServer::Impl::Start() {
  accept_pause = std::make_unique<Timer>(loops.loop(0).get_executor());
  asio::co_spawn(loops.loop(0).get_executor(), Accept(shared_from_this(), LiveHold(live)), asio::detached);
}

Task<> PeerServer::Impl::Accept(std::shared_ptr<Impl> self, LiveHold) {
  LostCoroutine lost([port = self->context->port] {
    MSFL_LOG(kError, "port " << port << " takes no connections of other Servers any more: no memory");
  });
  while (!self->context->stopping) {
    try {
      co_await AcceptNext(self);
    } catch (const std::exception& e) {  // no memory for a moment
      self->context->Complain("",
                              std::string("can't serve a connection, there may be no memory: ") + e.what());
    }
  }
  lost.Ended();
}

Task<> PeerServer::Impl::AcceptNext(std::shared_ptr<Impl> self) {
  const Executor executor = self->loops.loop(self->next_loop).get_executor();
  error_code fault;
  tcp::endpoint peer;
  TcpStream stream =
      co_await self->acceptor->async_accept(executor, peer, asio::redirect_error(kAwait, fault));
  const std::shared_ptr<PeerContext>& context = self->context;
  if (context->stopping) co_return;
  if (fault) {
    context->Complain("", "can't accept: " + fault.message());
    self->accept_pause->expires_after(kAcceptPause);
    co_await self->accept_pause->async_wait(asio::redirect_error(kAwait, fault));
    co_return;
  }
  static_cast<void>(stream.set_option(tcp::no_delay(true), fault));
  static_cast<void>(stream.set_option(asio::socket_base::keep_alive(true), fault));
  const auto socket = std::make_shared<PeerSocket>(std::move(stream), context->traffic);
  auto displaced = context->places.Enter(socket, peer.address());
  LostCoroutine unserved([&] { context->places.Leave(socket.get()); });
  if (displaced) {
    const Executor its_own = displaced->executor();
    asio::post(its_own, [displaced = std::move(displaced)] { displaced->Close(); });
  }
  // What is let in after Stop() has looked is not closed by it.
  if (context->stopping) co_return;
  asio::co_spawn(executor, PeerSession::Run(context, socket, peer.address(), LiveHold(self->live)),
                 asio::detached);
  unserved.Ended();
  self->next_loop = (self->next_loop + 1) % self->loops.io_count();
}

void PeerServer::Impl::Stop() {
  if (stopped.exchange(true)) return;
  context->stopping = true;
  std::vector<std::shared_ptr<PeerSocket>> open = context->places.Open();
  const auto ended = [this] { return !loops.running() || loops.loop(0).stopped(); };
  if (acceptor && !ended()) {
    asio::post(loops.loop(0), [self = shared_from_this(), hold = LiveHold(live)] {
      error_code ignored;
      static_cast<void>(self->acceptor->close(ignored));
      self->accept_pause->cancel();
    });
    for (auto& socket : open) {
      const Executor executor = socket->executor();
      asio::post(executor, [socket = std::move(socket)] { socket->Close(); });
    }
    open.clear();
    while (!live->WaitForNone(std::chrono::seconds(1)) && !ended()) {
      MSFL_LOG(kWarning, "port " << context->port << " for other Servers waits for answers under way");
    }
  }
  // No coroutine uses them any more, or no loop runs: they must not outlive the loops.
  acceptor.reset();
  accept_pause.reset();
}

PeerServer::PeerServer(EventLoops& loops, PeerServerOptions options, PeerHandler handler)
    : impl_(std::make_shared<Impl>(loops, options, std::move(handler))) {}

PeerServer::~PeerServer() { impl_->Stop(); }

Result<void> PeerServer::Listen(const std::string& ip, std::uint16_t port) {
  auto opened = impl_->Open(ip, port);
  if (opened.has_value()) impl_->Start();
  return opened;
}

std::uint16_t PeerServer::port() const { return impl_->context->port; }

std::size_t PeerServer::connections() const { return impl_->context->places.connections(); }

const PeerStrikes& PeerServer::strikes() const { return impl_->context->places.strikes(); }

const PeerTraffic& PeerServer::traffic() const { return *impl_->context->traffic; }

void PeerServer::Stop() { impl_->Stop(); }

}  // namespace msfl::net
