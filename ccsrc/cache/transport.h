// What a connection to Redis runs over. A transport has a Socket type, Open() and Close(); the link and the
// subscription are templates over it.
#pragma once

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <string>

#include "base/task.h"
#include "cache/redis_client.h"

namespace msfl::cache {

struct TcpTransport {
  using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;

  static Task<boost::system::error_code> Open(Socket& socket, const RedisAddress& address) {
    boost::system::error_code fault;
    const auto literal = asio::ip::make_address(address.host, fault);
    if (!fault) {
      const asio::ip::tcp::endpoint endpoint(literal, address.port);
      co_await socket.async_connect(endpoint, asio::redirect_error(kAwait, fault));
    } else {
      asio::ip::basic_resolver<asio::ip::tcp, Executor> resolver(socket.get_executor());
      const std::string port = std::to_string(address.port);
      const auto found =
          co_await resolver.async_resolve(address.host, port, asio::redirect_error(kAwait, fault));
      if (fault) co_return fault;
      co_await asio::async_connect(socket, found, asio::redirect_error(kAwait, fault));
    }
    boost::system::error_code ignored;
    if (!fault) socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    if (!fault) socket.set_option(asio::socket_base::keep_alive(true), ignored);
    co_return fault;
  }
  static void Close(Socket& socket) {
    boost::system::error_code ignored;
    socket.close(ignored);
  }
};

struct UnixTransport {
  using Socket = asio::basic_stream_socket<asio::local::stream_protocol, Executor>;

  static Task<boost::system::error_code> Open(Socket& socket, const RedisAddress& address) {
    boost::system::error_code fault;
    const asio::local::stream_protocol::endpoint endpoint(address.socket_path);
    co_await socket.async_connect(endpoint, asio::redirect_error(kAwait, fault));
    co_return fault;
  }
  static void Close(Socket& socket) {
    boost::system::error_code ignored;
    socket.close(ignored);
  }
};

}  // namespace msfl::cache
