// Bytes received and not yet used. Small, since most connections are idle; grows up to what the caller
// allows.
#pragma once

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/buffer.h"

namespace msfl::net {

class InputBuffer {
 public:
  static constexpr std::size_t kInitialBytes = 4096;

  const char* data() const { return reinterpret_cast<const char*>(memory_.data()) + begin_; }
  std::size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  void Consume(std::size_t bytes) {
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  // Like Consume, but what was used stays where it is: views of it live on.
  void Pass(std::size_t bytes) { begin_ += bytes; }

  std::uint8_t* room() { return memory_.data() + end_; }
  std::size_t room_bytes() const { return memory_.size() - end_; }
  void Commit(std::size_t bytes) { end_ += bytes; }

  // Makes room if there is none, keeping the last `keep` bytes passed as well; they may move.
  // Returns false if that would take more than `max_bytes`.
  bool MakeRoom(std::size_t keep, std::size_t max_bytes) {
    if (room_bytes() > 0) return true;
    const std::size_t start = begin_ - keep;
    const std::size_t held = end_ - start;
    if (start > 0 && held <= memory_.size() / 2) {
      std::memmove(memory_.data(), memory_.data() + start, held);
    } else {
      const std::size_t size =
          std::min(std::max(kInitialBytes, memory_.size() * 2), std::max(max_bytes, kInitialBytes));
      if (size <= held) return false;
      Move(size, start, held);
    }
    begin_ = keep;
    end_ = held;
    return true;
  }

  // Changes the memory held to about `size` bytes, if what is held fits.
  void Reserve(std::size_t size) {
    if (size == memory_.size() || size < this->size()) return;
    const std::size_t held = this->size();
    Move(size, begin_, held);
    begin_ = 0;
    end_ = held;
  }

 private:
  void Move(std::size_t size, std::size_t start, std::size_t held) {
    Buffer memory(size);
    if (held > 0) std::memcpy(memory.data(), memory_.data() + start, held);
    memory_ = std::move(memory);
  }

  Buffer memory_;
  std::size_t begin_ = 0, end_ = 0;
};

}  // namespace msfl::net
