// What a connection is made of. Sessions and links are templates over the stream; here is the plain one.
#pragma once

#include <poll.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <cstdint>

#include "base/task.h"

namespace msfl::net {

using boost::system::error_code;

// The executor is named, so that no operation pays for a type-erased one.
using TcpStream = asio::basic_stream_socket<asio::ip::tcp, Executor>;

// The socket under a stream: what is closed, shut down and given options.
inline TcpStream& Socket(TcpStream& stream) { return stream; }

// Up to three pieces of memory sent as one.
class GatherBuffers {
 public:
  using value_type = asio::const_buffer;
  using const_iterator = const asio::const_buffer*;

  void Add(const void* data, std::size_t size) {
    if (size > 0) pieces_[count_++] = asio::const_buffer(data, size);
  }
  void Consume(std::size_t bytes) {
    while (bytes > 0 && first_ < count_) {
      const std::size_t step = bytes < pieces_[first_].size() ? bytes : pieces_[first_].size();
      pieces_[first_] += step;
      bytes -= step;
      if (pieces_[first_].size() == 0) ++first_;
    }
  }
  bool empty() const { return first_ == count_; }
  const_iterator begin() const { return pieces_.data() + first_; }
  const_iterator end() const { return pieces_.data() + count_; }

 private:
  std::array<asio::const_buffer, 3> pieces_{};
  std::size_t first_ = 0, count_ = 0;
};

// Writes what goes without waiting: most answers fit into the socket's buffer, and a turn through the loop
// costs as much as the header. Returns 0 with would_block when nothing went.
inline std::size_t TryWrite(TcpStream& stream, const GatherBuffers& buffers, error_code& ec) {
  return stream.write_some(buffers, ec);
}

// Reads what is there without waiting. Returns 0 with would_block when nothing is.
inline std::size_t TryRead(TcpStream& stream, asio::mutable_buffer buffer, error_code& ec) {
  return stream.read_some(buffer, ec);
}

// True if the peer is gone for good, as far as that can be told without reading: it has reset the connection,
// or has finished sending though less than `missing` bytes are there.
inline bool HungUp(TcpStream& stream, std::uint64_t missing) {
  pollfd state{stream.native_handle(), POLLRDHUP, 0};
  if (::poll(&state, 1, 0) <= 0) return false;
  if ((state.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) return true;
  error_code ec;
  const std::size_t there = stream.available(ec);
  return ec || there < missing;
}

}  // namespace msfl::net
