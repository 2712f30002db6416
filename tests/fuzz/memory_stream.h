// A connection whose peer is a text: what it sends comes in pieces of given sizes, what it is told is kept.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/stream.h"

namespace msfl::fuzz {

using net::error_code;

// The peer's side.
struct Wire {
  std::string input;
  std::size_t read = 0;
  bool ends = true;  // after the input the peer closes; otherwise it falls silent
  // Bytes that go at once, one after another and round again; 0: not without waiting. Empty: everything.
  std::vector<std::size_t> pieces;
  std::size_t turn = 0;
  std::string output;
  bool closed = false, shut = false;
  std::function<void()> silent;  // the read that waits for a silent peer

  std::size_t Piece() { return pieces.empty() ? SIZE_MAX : pieces[turn++ % pieces.size()]; }

  // What one read gets; would_block while a silent peer says nothing more.
  std::size_t Take(asio::mutable_buffer into, std::size_t most, error_code& ec) {
    ec = {};
    if (closed) ec = asio::error::operation_aborted;
    if (ec || into.size() == 0) return 0;
    const std::size_t size = std::min({into.size(), most, input.size() - read});
    std::memcpy(into.data(), input.data() + read, size);
    read += size;
    if (size == 0 && read == input.size())
      ec = ends ? error_code(asio::error::eof) : asio::error::would_block;
    return size;
  }

  template <class Buffers>
  std::size_t Give(const Buffers& buffers, std::size_t most, error_code& ec) {
    ec = {};
    if (closed || shut) ec = asio::error::broken_pipe;
    std::size_t given = 0;
    for (const asio::const_buffer& piece : buffers) {
      const std::size_t size = ec ? 0 : std::min(piece.size(), most - given);
      output.append(static_cast<const char*>(piece.data()), size);
      given += size;
    }
    return given;
  }
};

class MemoryStream {
 public:
  using executor_type = Executor;

  MemoryStream(asio::io_context& loop, std::shared_ptr<Wire> wire) : loop_(&loop), wire_(std::move(wire)) {}
  executor_type get_executor() const { return loop_->get_executor(); }
  Wire& wire() { return *wire_; }

  template <class Token>
  auto async_read_some(asio::mutable_buffer into, Token&& token) {
    return asio::async_initiate<Token, void(error_code, std::size_t)>(
        [this, into]<class Handler>(Handler handler) {
          auto held = std::make_shared<Handler>(std::move(handler));
          const auto attempt = [wire = wire_, loop = loop_, into, held]() -> bool {
            error_code ec;
            const std::size_t size = wire->Take(into, std::max<std::size_t>(wire->Piece(), 1), ec);
            if (ec == asio::error::would_block) return false;
            asio::post(*loop, [held, ec, size] { std::move (*held)(ec, size); });
            return true;
          };
          if (!attempt()) wire_->silent = [attempt] { static_cast<void>(attempt()); };
        },
        token);
  }

  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(error_code, std::size_t)>(
        [this, buffers]<class Handler>(Handler handler) {
          error_code ec;
          const std::size_t size = wire_->Give(buffers, std::max<std::size_t>(wire_->Piece(), 1), ec);
          asio::post(*loop_, [held = std::move(handler), ec, size]() mutable { std::move(held)(ec, size); });
        },
        token);
  }

  template <class Option>
  error_code set_option(const Option&, error_code& ec) {
    return ec = {};
  }
  error_code close(error_code& ec) {
    ec = {};
    wire_->closed = true;
    if (const auto waiting = std::exchange(wire_->silent, nullptr)) waiting();
    return ec;
  }
  error_code shutdown(asio::ip::tcp::socket::shutdown_type, error_code& ec) {
    ec = {};
    wire_->shut = true;
    return ec;
  }

 private:
  asio::io_context* loop_;
  std::shared_ptr<Wire> wire_;
};

inline MemoryStream& Socket(MemoryStream& stream) { return stream; }

inline std::size_t TryRead(MemoryStream& stream, asio::mutable_buffer into, error_code& ec) {
  const std::size_t most = stream.wire().Piece();
  ec = asio::error::would_block;
  return most == 0 ? 0 : stream.wire().Take(into, most, ec);
}

inline std::size_t TryWrite(MemoryStream& stream, const net::GatherBuffers& buffers, error_code& ec) {
  const std::size_t most = stream.wire().Piece();
  ec = asio::error::would_block;
  return most == 0 ? 0 : stream.wire().Give(buffers, most, ec);
}

inline bool HungUp(MemoryStream& stream, std::uint64_t missing) {
  const Wire& wire = stream.wire();
  return wire.closed || (wire.ends && wire.input.size() - wire.read < missing);
}

}  // namespace msfl::fuzz
