#include "net/peer_server.h"

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/log.h"
#include "base/lost_coroutine.h"
#include "net/live_count.h"
#include "net/peer_frame.h"
#include "net/peer_socket.h"

namespace msfl::net {

namespace {

using asio::ip::tcp;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;
using Timer = asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor>;

// Without descriptors, accepting fails again and again: give the open connections time to end.
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr std::chrono::minutes kComplaintInterval{1};
constexpr std::size_t kMaxComplainedOf = 256;

}  // namespace

// Its coroutines keep it alive.
struct PeerServer::Impl : std::enable_shared_from_this<Impl> {
  Impl(EventLoops& loops_, PeerServerOptions options_, PeerHandler handler_)
      : loops(loops_), options(options_), handler(std::move(handler_)) {}

  Result<void> Open(const std::string& ip, std::uint16_t port_wanted);
  void Start();
  void Stop();

  // `hold` counts them as live from before they start.
  static Task<> Accept(std::shared_ptr<Impl> self, LiveHold hold);
  static Task<> AcceptNext(std::shared_ptr<Impl> self);
  static Task<> Serve(std::shared_ptr<Impl> self, std::shared_ptr<PeerSocket> socket, std::string address,
                      LiveHold hold);
  static Task<> ServeRequests(std::shared_ptr<Impl> self, std::shared_ptr<PeerSocket> socket,
                              std::string address);
  static Task<bool> ReadRequest(std::shared_ptr<Impl> self, std::shared_ptr<PeerSocket> socket,
                                const std::string& address, bool first, PeerFrameReader& reader);
  bool Register(const std::shared_ptr<PeerSocket>& socket);
  void Unregister(const std::shared_ptr<PeerSocket>& socket);
  void Complain(const std::string& address, const std::string& what);

  EventLoops& loops;
  const PeerServerOptions options;
  const PeerHandler handler;
  const std::shared_ptr<LiveCount> live = std::make_shared<LiveCount>();
  std::unique_ptr<Acceptor> acceptor;
  std::unique_ptr<Timer> accept_pause;
  std::size_t next_loop = 0;
  std::uint16_t port = 0;
  std::atomic<bool> stopping{false}, stopped{false};

  std::mutex mutex;
  std::unordered_map<PeerSocket*, std::weak_ptr<PeerSocket>> sockets;  // guarded by mutex
  std::map<std::string, SteadyClock::time_point> complained;           // guarded by mutex
};

Result<void> PeerServer::Impl::Open(const std::string& ip, std::uint16_t port_wanted) {
  const std::string where =
      (ip.find(':') == std::string::npos ? ip : "[" + ip + "]") + ":" + std::to_string(port_wanted);
  error_code fault;
  const auto address = asio::ip::make_address(ip, fault);
  if (fault) return Error{Errc::kInvalidArgument, "can't listen on " + where + ": it is no IP address"};
  if (acceptor || stopping) return Error{Errc::kStopping, "can't listen on " + where + " as well"};
  const tcp::endpoint endpoint(address, port_wanted);
  auto opened = std::make_unique<Acceptor>(loops.loop(0).get_executor());
  static_cast<void>(opened->open(endpoint.protocol(), fault));
  if (!fault) static_cast<void>(opened->set_option(asio::socket_base::reuse_address(true), fault));
  if (!fault) static_cast<void>(opened->bind(endpoint, fault));
  if (!fault) static_cast<void>(opened->listen(asio::socket_base::max_listen_connections, fault));
  if (fault) return Error{Errc::kAddressInUse, "can't listen on " + where + ": " + fault.message()};
  port = opened->local_endpoint(fault).port();
  acceptor = std::move(opened);
  return {};
}

void PeerServer::Impl::Start() {
  accept_pause = std::make_unique<Timer>(loops.loop(0).get_executor());
  asio::co_spawn(loops.loop(0).get_executor(), Accept(shared_from_this(), LiveHold(live)), asio::detached);
}

Task<> PeerServer::Impl::Accept(std::shared_ptr<Impl> self, LiveHold) {
  LostCoroutine lost([port = self->port] {
    MSFL_LOG(kError, "port " << port << " takes no connections of other Servers any more: no memory");
  });
  while (!self->stopping) {
    try {
      co_await AcceptNext(self);
    } catch (const std::exception& e) {  // no memory for a moment
      self->Complain("", std::string("can't serve a connection, there may be no memory: ") + e.what());
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
  if (self->stopping) co_return;
  if (fault) {
    self->Complain("", "can't accept: " + fault.message());
    self->accept_pause->expires_after(kAcceptPause);
    co_await self->accept_pause->async_wait(asio::redirect_error(kAwait, fault));
    co_return;
  }
  const std::string address = peer.address().to_string();
  static_cast<void>(stream.set_option(tcp::no_delay(true), fault));
  static_cast<void>(stream.set_option(asio::socket_base::keep_alive(true), fault));
  auto socket = std::make_shared<PeerSocket>(std::move(stream));
  if (!self->Register(socket)) {
    self->Complain(address, "closed at once, as there are " + std::to_string(self->options.max_connections) +
                                " connections");
    co_return;
  }
  asio::co_spawn(executor, Serve(self, std::move(socket), address, LiveHold(self->live)), asio::detached);
  self->next_loop = (self->next_loop + 1) % self->loops.io_count();
}

bool PeerServer::Impl::Register(const std::shared_ptr<PeerSocket>& socket) {
  const std::lock_guard lock(mutex);
  if (stopping || sockets.size() >= options.max_connections) return false;
  sockets.emplace(socket.get(), socket);
  return true;
}

void PeerServer::Impl::Unregister(const std::shared_ptr<PeerSocket>& socket) {
  const std::lock_guard lock(mutex);
  sockets.erase(socket.get());
}

void PeerServer::Impl::Complain(const std::string& address, const std::string& what) {
  const auto now = SteadyClock::now();
  {
    const std::lock_guard lock(mutex);
    std::erase_if(complained, [&](const auto& entry) { return entry.second <= now; });
    if (complained.size() >= kMaxComplainedOf || complained.contains(address)) return;
    complained.emplace(address, now + kComplaintInterval);
  }
  MSFL_LOG(kWarning,
           "port " << port << " for other Servers: " << (address.empty() ? "" : address + ": ") << what);
}

Task<> PeerServer::Impl::Serve(std::shared_ptr<Impl> self, std::shared_ptr<PeerSocket> socket,
                               std::string address, LiveHold) {
  // Also when the coroutine is lost, its place is free again.
  const LostCoroutine place([self, socket] {
    socket->Close();
    self->Unregister(socket);
  });
  try {
    co_await ServeRequests(self, socket, address);
  } catch (const std::exception& e) {
    self->Complain(address, std::string("given up: ") + e.what());
  }
}

Task<> PeerServer::Impl::ServeRequests(std::shared_ptr<Impl> self, std::shared_ptr<PeerSocket> socket,
                                       std::string address) {
  for (bool first = true; !self->stopping; first = false) {
    PeerFrameReader::Expected expected;
    expected.request = true;
    PeerFrameReader reader(expected);
    const bool complete = co_await ReadRequest(self, socket, address, first, reader);
    if (!complete || self->stopping) co_return;
    const PeerAnswer answer = co_await self->handler(reader.head());
    GatherBuffers out = answer.payload;
    std::uint64_t payload_bytes = 0;
    for (const asio::const_buffer& piece : out) payload_bytes += piece.size();
    const std::vector<std::uint8_t> front = EncodePeerFrame(
        answer.refused ? PeerFrameKind::kRefusal : PeerFrameKind::kAnswer, answer.head, payload_bytes);
    out = GatherBuffers();
    out.Add(front.data(), front.size());
    for (const asio::const_buffer& piece : answer.payload) out.Add(piece.data(), piece.size());
    const error_code fault = co_await PeerSocket::Write(socket, out, self->options.write_stall_timeout);
    if (fault) co_return;
  }
}

// False if there is none.
Task<bool> PeerServer::Impl::ReadRequest(std::shared_ptr<Impl> self, std::shared_ptr<PeerSocket> socket,
                                         const std::string& address, bool first, PeerFrameReader& reader) {
  // Whoever has shown that it speaks the protocol may be idle for longer.
  const auto& options = self->options;
  auto until = SteadyClock::now() + (first ? options.header_timeout : options.idle_timeout);
  while (!reader.complete()) {
    const bool waited = !reader.begun();
    const auto came = co_await PeerSocket::ReadSome(socket, reader.Wanted(), until);
    if (came.fault) {
      if (!waited && !self->stopping)
        self->Complain(address, "a request broke off: " + PeerSocket::Text(came.fault));
      co_return false;
    }
    reader.Received(came.bytes);
    if (waited && !first) until = SteadyClock::now() + options.header_timeout;
    if (reader.fault() != PeerFrameReader::Fault::kNone) {
      self->Complain(address, PeerFrameReader::Text(reader.fault()));
      co_return false;
    }
  }
  co_return true;
}

void PeerServer::Impl::Stop() {
  if (stopped.exchange(true)) return;
  std::vector<std::shared_ptr<PeerSocket>> open;
  {
    const std::lock_guard lock(mutex);
    stopping = true;
    for (const auto& entry : sockets) {
      if (auto socket = entry.second.lock()) open.push_back(std::move(socket));
    }
  }
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
      MSFL_LOG(kWarning, "port " << port << " for other Servers waits for answers under way");
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

std::uint16_t PeerServer::port() const { return impl_->port; }

std::size_t PeerServer::connections() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->sockets.size();
}

void PeerServer::Stop() { impl_->Stop(); }

}  // namespace msfl::net
