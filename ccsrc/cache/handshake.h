// Opening a connection: transport, AUTH, SELECT, and a PING that tells Redis from anything else that listens
// there.
#pragma once

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cache/command_pipeline.h"
#include "cache/redis_client.h"
#include "cache/reply_reader.h"
#include "cache/transport.h"

namespace msfl::cache {

struct ConnectFault {
  Error error;
  bool not_yet = false;  // nobody listens, or Redis is still loading: worth another try
};

// The words to send first, one command each.
std::vector<std::vector<std::string>> Greeting(const RedisAddress& address);
// Of what an Open() answered, and of a reply to the greeting; nothing when it is fine.
ConnectFault OpenFault(const RedisAddress& address, const boost::system::error_code& fault);
std::optional<ConnectFault> GreetingFault(const RedisAddress& address, const std::string& command,
                                          const Reply& reply);
ConnectFault SilenceFault(const RedisAddress& address, const boost::system::error_code& fault);
ConnectFault ProtocolFault(const RedisAddress& address, const std::string& why);

// The caller ends it by closing the socket when connect_timeout is over.
template <class Transport>
Task<std::optional<ConnectFault>> Establish(typename Transport::Socket& socket, const RedisAddress& address) {
  boost::system::error_code fault = co_await Transport::Open(socket, address);
  if (fault) co_return OpenFault(address, fault);

  const auto greeting = Greeting(address);
  OutputBuffer output;
  for (const auto& words : greeting) {
    const std::vector<std::string_view> views(words.begin(), words.end());
    output.AppendWords(views);
  }
  co_await asio::async_write(socket, asio::buffer(output.data(), output.size()),
                             asio::redirect_error(kAwait, fault));
  if (fault) co_return SilenceFault(address, fault);

  ReplyReader reader;
  Reply reply;
  std::array<char, 1024> bytes;
  for (std::size_t answered = 0; answered < greeting.size();) {
    const ReplyReader::Step step = reader.Next(reply);
    if (step == ReplyReader::Step::kBroken) co_return ProtocolFault(address, reader.fault());
    if (step == ReplyReader::Step::kReply) {
      if (auto refused = GreetingFault(address, greeting[answered].front(), reply)) co_return refused;
      ++answered;
      continue;
    }
    const std::size_t size =
        co_await socket.async_read_some(asio::buffer(bytes), asio::redirect_error(kAwait, fault));
    if (fault) co_return SilenceFault(address, fault);
    reader.Feed(bytes.data(), size);
  }
  co_return std::nullopt;
}

}  // namespace msfl::cache
