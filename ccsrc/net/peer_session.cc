#include "net/peer_session.h"

#include <utility>
#include <vector>

#include "base/log.h"
#include "base/lost_coroutine.h"

namespace msfl::net {

namespace {

constexpr std::chrono::minutes kComplaintInterval{1};
constexpr std::size_t kMaxComplainedOf = 256;

}  // namespace

void PeerContext::Complain(const std::string& address, const std::string& what) {
  const auto now = SteadyClock::now();
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(complained_, [&](const auto& entry) { return entry.second <= now; });
    if (complained_.size() >= kMaxComplainedOf || complained_.contains(address)) return;
    complained_.emplace(address, now + kComplaintInterval);
  }
  MSFL_LOG(kWarning,
           "port " << port << " for other Servers: " << (address.empty() ? "" : address + ": ") << what);
}

Task<> PeerSession::Run(std::shared_ptr<PeerContext> context, std::shared_ptr<PeerSocket> socket,
                        boost::asio::ip::address address, LiveHold) {
  // Also when the coroutine is lost, its place is free again.
  const LostCoroutine place([context, socket] {
    socket->Close();
    context->places.Leave(socket.get());
  });
  try {
    PeerSession session(*context, socket, address);
    co_await session.Serve();
  } catch (const std::exception& e) {
    context->Complain(address.to_string(), std::string("given up: ") + e.what());
  }
}

Task<> PeerSession::Serve() {
  while (!context_.stopping) {
    PeerFrameReader::Expected expected;
    expected.request = true;
    PeerFrameReader reader(expected);
    const bool complete = co_await ReadRequest(reader);
    if (!complete || context_.stopping) co_return;
    if (stranger_ && context_.handler.recognises(reader.head())) {
      if (!context_.places.Recognise(socket_.get())) co_return;
      stranger_ = false;
    }
    const PeerAnswer answer = co_await context_.handler.answer(reader.head());
    const bool sent = co_await Send(answer);
    if (!sent) co_return;
  }
}

// False if there is none.
Task<bool> PeerSession::ReadRequest(PeerFrameReader& reader) {
  // What a stranger asks for gives it no more time: only whom this Server knows may be idle for longer.
  const PeerServerOptions& options = context_.options;
  auto until = stranger_ ? begun_ + options.header_timeout : SteadyClock::now() + options.idle_timeout;
  while (!reader.complete()) {
    const bool waited = !reader.begun();
    const auto came = co_await PeerSocket::ReadSome(socket_, reader.Wanted(), until);
    if (came.fault == asio::error::timed_out) {
      Struck(stranger_ ? PeerLimit::kStrangerTime : waited ? PeerLimit::kIdleTime : PeerLimit::kRequestTime);
      co_return false;
    }
    if (came.fault) {
      if (!waited && socket_->open())
        context_.Complain(address_.to_string(), "a request broke off: " + PeerSocket::Text(came.fault));
      co_return false;
    }
    reader.Received(came.bytes);
    if (waited && !stranger_) until = SteadyClock::now() + options.header_timeout;
    if (reader.fault() != PeerFrameReader::Fault::kNone) {
      Struck(PeerLimit::kMessage);
      context_.Complain(address_.to_string(), PeerFrameReader::Text(reader.fault()));
      co_return false;
    }
  }
  co_return true;
}

Task<bool> PeerSession::Send(const PeerAnswer& answer) {
  std::uint64_t payload_bytes = 0;
  for (const asio::const_buffer& piece : answer.payload) payload_bytes += piece.size();
  const std::vector<std::uint8_t> front = EncodePeerFrame(
      answer.refused ? PeerFrameKind::kRefusal : PeerFrameKind::kAnswer, answer.head, payload_bytes);
  GatherBuffers out;
  out.Add(front.data(), front.size());
  for (const asio::const_buffer& piece : answer.payload) out.Add(piece.data(), piece.size());
  const PeerServerOptions& options = context_.options;
  const bool usual = answer.stall.count() == 0;
  PeerPace pace(usual ? options.write_stall_timeout : answer.stall, options.write_grace,
                options.minimum_rate);
  if (answer.limit.count() > 0) pace.SetLimit(SteadyClock::now() + answer.limit);
  const error_code fault = co_await PeerSocket::Write(socket_, out, pace);
  if (fault == asio::error::timed_out) Struck(PeerLimit::kAnswerTime);
  co_return !fault;
}

}  // namespace msfl::net
