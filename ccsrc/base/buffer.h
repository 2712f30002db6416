// Uninitialised, 64-byte-aligned memory, pooled: page faults and zero fills of large request bodies cost more
// than the work done on them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace msfl {

class BufferPool;

// Owns its memory; gives it back to the pool it came from, if that pool still lives. Movable, not copyable.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t size);  // outside any pool
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  std::uint8_t* data() { return data_; }
  const std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  std::span<const std::uint8_t> bytes() const { return {data_, size_}; }
  // Precondition: size <= capacity(). Contents below min(old, new) stay.
  void Resize(std::size_t size);

 private:
  friend class BufferPool;
  void Release() noexcept;

  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::weak_ptr<BufferPool> pool_;
};

// Keeps freed buffers for reuse, at most `max_idle_bytes` of them. Thread-safe. Made by Create().
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  // Memory that the pool has let go and that is freed with this: giving much of it back to the system takes
  // milliseconds, which need not pass under a lock.
  class Surplus {
   public:
    Surplus() = default;
    Surplus(Surplus&& other) noexcept : first_(std::exchange(other.first_, nullptr)) {}
    Surplus& operator=(Surplus&&) = delete;
    ~Surplus();
    void Add(Surplus&& other) noexcept;

   private:
    friend class BufferPool;
    void Add(std::uint8_t* data) noexcept;
    std::uint8_t* first_ = nullptr;  // each begins with the address of the next
  };

  static std::shared_ptr<BufferPool> Create(std::size_t max_idle_bytes);
  ~BufferPool();

  // What Take(size) holds: the capacity of the size class. Throws std::bad_alloc where no memory is as large.
  static std::size_t CapacityFor(std::size_t size);

  // An idle buffer of the size class of `size` (four classes for each power of two), or fresh memory. Throws
  // std::bad_alloc.
  Buffer Take(std::size_t size);
  // The same, but an empty buffer instead of fresh memory.
  Buffer TakeIdle(std::size_t size);
  // At most so much may be idle from now on, if that is less than `max_idle_bytes`.
  Surplus LimitIdle(std::size_t bytes) noexcept;
  // Gives idle memory back to the system.
  void Trim();
  // Gives back what has lain idle ever since the last call: called at intervals, it lets the pool follow the
  // load without giving up in one iteration what the next one needs again.
  void TrimUnused();
  std::size_t idle_bytes() const;

 private:
  explicit BufferPool(std::size_t max_idle_bytes) : max_idle_bytes_(max_idle_bytes) {}
  friend class Buffer;
  void Return(std::uint8_t* data, std::size_t capacity) noexcept;

  const std::size_t max_idle_bytes_;
  mutable std::mutex mutex_;
  std::size_t idle_limit_ = max_idle_bytes_;
  std::size_t idle_bytes_ = 0;
  static constexpr std::size_t kClasses = 256;
  struct SizeClassIdle {
    std::vector<std::uint8_t*> buffers;  // used from the back
    std::size_t fewest = 0;  // since the last TrimUnused: that many at the front were never needed
  };
  std::array<SizeClassIdle, kClasses> idle_;
};

}  // namespace msfl
