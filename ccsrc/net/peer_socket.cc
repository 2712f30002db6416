#include "net/peer_socket.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/redirect_error.hpp>
#include <utility>

namespace msfl::net {

namespace {

using asio::ip::tcp;
using Resolver = asio::ip::basic_resolver<tcp, Executor>;

}  // namespace

// The system's own look-up can't be ended, so it is waited for by a timer that can.
struct PeerSocket::Lookup {
  explicit Lookup(const Executor& executor) : resolver(executor), wait(executor) {}
  Resolver resolver;
  Timer wait;
  Resolver::results_type found;
  error_code fault = asio::error::timed_out;
};

Task<error_code> PeerSocket::Resolve(Self self, PeerAddress address, SteadyClock::time_point until,
                                     std::shared_ptr<Lookup> lookup) {
  self->lookup_ = lookup;
  lookup->wait.expires_at(until);
  lookup->resolver.async_resolve(address.host, std::to_string(address.port), tcp::resolver::numeric_service,
                                 [lookup](const error_code& fault, Resolver::results_type found) {
                                   lookup->fault = fault;
                                   lookup->found = std::move(found);
                                   lookup->wait.cancel();
                                 });
  error_code ended;
  co_await lookup->wait.async_wait(asio::redirect_error(kAwait, ended));
  co_return self->Fault(lookup->fault);
}

Task<error_code> PeerSocket::Connect(Self self, PeerAddress address, SteadyClock::time_point until) {
  error_code fault;
  if (self->closed_) co_return asio::error::operation_aborted;  // connecting would open it again
  const auto literal = asio::ip::make_address(address.host, fault);
  if (!fault) {
    const tcp::endpoint endpoint(literal, address.port);
    self->WaitUntil(until);
    co_await self->stream_.async_connect(endpoint, asio::redirect_error(kAwait, fault));
  } else {
    const auto lookup = std::make_shared<Lookup>(self->executor());
    fault = co_await Resolve(self, address, until, lookup);
    if (fault) co_return fault;
    self->WaitUntil(until);
    co_await asio::async_connect(self->stream_, lookup->found, asio::redirect_error(kAwait, fault));
  }
  self->WaitForever();
  error_code ignored;
  if (!fault) static_cast<void>(self->stream_.set_option(tcp::no_delay(true), ignored));
  if (!fault) static_cast<void>(self->stream_.set_option(asio::socket_base::keep_alive(true), ignored));
  co_return self->Fault(fault);
}

Task<PeerSocket::Transfer> PeerSocket::ReadSome(Self self, std::span<std::uint8_t> into,
                                                SteadyClock::time_point until) {
  Transfer transfer;
  self->WaitUntil(until);
  const asio::mutable_buffer buffer(into.data(), into.size());
  transfer.bytes =
      co_await self->stream_.async_read_some(buffer, asio::redirect_error(kAwait, transfer.fault));
  self->traffic_->received.fetch_add(transfer.bytes, std::memory_order_relaxed);
  self->WaitForever();
  transfer.fault = self->Fault(transfer.fault);
  co_return transfer;
}

Task<PeerSocket::Transfer> PeerSocket::Read(Self self, std::span<std::uint8_t> into, PeerPace& pace) {
  Transfer transfer;
  pace.Resume(SteadyClock::now());
  while (transfer.bytes < into.size() && !transfer.fault) {
    self->WaitUntil(pace.Next());
    const asio::mutable_buffer rest(into.data() + transfer.bytes, into.size() - transfer.bytes);
    const std::size_t came =
        co_await self->stream_.async_read_some(rest, asio::redirect_error(kAwait, transfer.fault));
    transfer.bytes += came;
    pace.Moved(SteadyClock::now(), came);
    self->traffic_->received.fetch_add(came, std::memory_order_relaxed);
    transfer.fault = self->Fault(transfer.fault);
  }
  self->WaitForever();
  co_return transfer;
}

Task<error_code> PeerSocket::Write(Self self, GatherBuffers buffers, PeerPace pace) {
  error_code fault;
  pace.Resume(SteadyClock::now());
  while (!buffers.empty() && !fault) {
    self->WaitUntil(pace.Next());
    const std::size_t written =
        co_await self->stream_.async_write_some(buffers, asio::redirect_error(kAwait, fault));
    buffers.Consume(written);
    pace.Moved(SteadyClock::now(), written);
    self->traffic_->sent.fetch_add(written, std::memory_order_relaxed);
    fault = self->Fault(fault);
  }
  self->WaitForever();
  co_return fault;
}

void PeerSocket::WaitUntil(SteadyClock::time_point until) {
  until_ = until;
  if (!armed_ || timer_.expiry() > until) Arm();
}

void PeerSocket::Arm() {
  timer_.expires_at(until_);
  armed_ = true;
  timer_.async_wait([weak = weak_from_this()](const error_code& cancelled) {
    const Self self = weak.lock();
    if (cancelled || self == nullptr) return;
    self->armed_ = false;
    if (self->until_ == SteadyClock::time_point::max() || self->closed_) return;
    if (SteadyClock::now() < self->until_) {
      self->Arm();
    } else {
      self->late_ = true;
      self->Close();
    }
  });
}

void PeerSocket::Close() noexcept {
  if (closed_) return;
  closed_ = true;
  error_code ignored;
  static_cast<void>(stream_.close(ignored));
  timer_.cancel();
  if (const auto lookup = lookup_.lock()) {
    lookup->fault = asio::error::operation_aborted;
    lookup->wait.cancel();
  }
}

bool PeerSocket::Stale() {
  if (closed_) return true;
  error_code fault;
  return HungUp(stream_, 1) || stream_.available(fault) > 0 || fault;
}

error_code PeerSocket::Fault(const error_code& fault) const {
  if (late_) return asio::error::timed_out;
  // What came before it was closed may still be reported after it.
  if (closed_) return asio::error::operation_aborted;
  return fault;
}

std::string PeerSocket::Text(const error_code& fault) {
  if (fault == asio::error::eof) return "the connection was closed by the other side";
  if (fault == asio::error::operation_aborted) return "the connection was closed";
  if (fault == asio::error::timed_out) return "too little came or went in time";
  return fault.message();
}

}  // namespace msfl::net
