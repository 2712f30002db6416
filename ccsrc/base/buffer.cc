#include "base/buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

namespace msfl {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
// From here on one fault for 2 MB instead of 512 is worth the alignment.
constexpr std::size_t kHugeFrom = 2 * kHugePage;

std::uint8_t* Allocate(std::size_t capacity) {
  const std::size_t alignment = capacity >= kHugeFrom ? kHugePage : kAlignment;
  void* memory = nullptr;
  if (::posix_memalign(&memory, alignment, capacity) != 0) throw std::bad_alloc();
  // Only advice: where the kernel refuses it, small pages serve as well.
  if (capacity >= kHugeFrom)
    static_cast<void>(::madvise(memory, capacity / kHugePage * kHugePage, MADV_HUGEPAGE));
  return static_cast<std::uint8_t*>(memory);
}

struct SizeClass {
  std::size_t index;
  std::size_t capacity;
};

// Four classes for each power of two, from 256 bytes: at most a fifth is unused, and 64 divides each
// capacity.
SizeClass ClassOf(std::size_t size) {
  if (size > std::numeric_limits<std::ptrdiff_t>::max() / 2) throw std::bad_alloc();
  if (size <= 256) return {0, 256};
  const std::size_t power = std::bit_width(size - 1) - 1;  // 2^power < size <= 2^(power + 1)
  const std::size_t step = std::size_t{1} << (power - 2);
  const std::size_t quarters = (size - (std::size_t{1} << power) + step - 1) / step;  // 1 to 4
  return {(power - 8) * 4 + quarters, (std::size_t{1} << power) + quarters * step};
}

// Of a class that ClassOf gives.
std::size_t CapacityOf(std::size_t index) {
  if (index == 0) return 256;
  const std::size_t power = 8 + (index - 1) / 4, quarters = (index - 1) % 4 + 1;
  return (std::size_t{1} << power) + quarters * (std::size_t{1} << (power - 2));
}

}  // namespace

Buffer::Buffer(std::size_t size)
    : size_(size), capacity_(std::max(kAlignment, (size + kAlignment - 1) / kAlignment * kAlignment)) {
  if (size > std::numeric_limits<std::ptrdiff_t>::max() / 2) throw std::bad_alloc();
  data_ = Allocate(capacity_);
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)),
      pool_(std::move(other.pool_)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    Release();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    pool_ = std::move(other.pool_);
  }
  return *this;
}

Buffer::~Buffer() { Release(); }

void Buffer::Resize(std::size_t size) {
  assert(size <= capacity_);
  size_ = size;
}

void Buffer::Release() noexcept {
  if (data_ == nullptr) return;
  if (const auto pool = pool_.lock()) {
    pool->Return(data_, capacity_);
  } else {
    std::free(data_);
  }
  data_ = nullptr;
  size_ = capacity_ = 0;
  pool_.reset();
}

std::shared_ptr<BufferPool> BufferPool::Create(std::size_t max_idle_bytes) {
  return std::shared_ptr<BufferPool>(new BufferPool(max_idle_bytes));
}

BufferPool::~BufferPool() { Trim(); }

BufferPool::Surplus::~Surplus() {
  while (first_ != nullptr) {
    std::uint8_t* const data = first_;
    std::memcpy(&first_, data, sizeof first_);
    std::free(data);
  }
}

void BufferPool::Surplus::Add(std::uint8_t* data) noexcept {
  std::memcpy(data, &first_, sizeof first_);
  first_ = data;
}

void BufferPool::Surplus::Add(Surplus&& other) noexcept {
  while (other.first_ != nullptr) {
    std::uint8_t* const data = other.first_;
    std::memcpy(&other.first_, data, sizeof first_);
    Add(data);
  }
}

std::size_t BufferPool::CapacityFor(std::size_t size) { return ClassOf(size).capacity; }

Buffer BufferPool::Take(std::size_t size) {
  Buffer buffer = TakeIdle(size);
  if (buffer.data_ == nullptr) {
    const std::size_t capacity = CapacityFor(size);
    buffer.data_ = Allocate(capacity);
    buffer.size_ = size;
    buffer.capacity_ = capacity;
    buffer.pool_ = weak_from_this();
  }
  return buffer;
}

Buffer BufferPool::TakeIdle(std::size_t size) {
  const auto [index, capacity] = ClassOf(size);
  Buffer buffer;
  {
    const std::lock_guard lock(mutex_);
    SizeClassIdle& idle = idle_[index];
    if (!idle.buffers.empty()) {
      buffer.data_ = idle.buffers.back();  // the last one given back is the likeliest to be in the cache
      idle.buffers.pop_back();
      idle.fewest = std::min(idle.fewest, idle.buffers.size());
      idle_bytes_ -= capacity;
    }
  }
  if (buffer.data_ == nullptr) return buffer;
  buffer.size_ = size;
  buffer.capacity_ = capacity;
  buffer.pool_ = weak_from_this();
  return buffer;
}

void BufferPool::Return(std::uint8_t* data, std::size_t capacity) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    if (idle_bytes_ + capacity <= idle_limit_) {
      idle_[ClassOf(capacity).index].buffers.push_back(data);
      idle_bytes_ += capacity;
      return;
    }
  } catch (const std::bad_alloc&) {
    // No room to remember it: freed like one that is too many.
  }
  std::free(data);
}

BufferPool::Surplus BufferPool::LimitIdle(std::size_t bytes) noexcept {
  Surplus surplus;
  const std::lock_guard lock(mutex_);
  idle_limit_ = std::min(bytes, max_idle_bytes_);
  // The largest first: the fewest go.
  for (std::size_t index = kClasses; index-- > 0 && idle_bytes_ > idle_limit_;) {
    SizeClassIdle& idle = idle_[index];
    std::size_t gone = 0;
    while (gone < idle.buffers.size() && idle_bytes_ > idle_limit_) {
      surplus.Add(idle.buffers[gone++]);  // the front has lain longest
      idle_bytes_ -= CapacityOf(index);
    }
    idle.buffers.erase(idle.buffers.begin(), idle.buffers.begin() + static_cast<std::ptrdiff_t>(gone));
    idle.fewest -= std::min(idle.fewest, gone);
  }
  return surplus;
}

void BufferPool::Trim() {
  TrimUnused();
  TrimUnused();  // now nothing has been used since the last call
}

void BufferPool::TrimUnused() {
  std::vector<std::uint8_t*> unused;
  {
    const std::lock_guard lock(mutex_);
    for (std::size_t index = 0; index < kClasses; ++index) {
      SizeClassIdle& idle = idle_[index];
      if (idle.buffers.empty()) continue;  // so are the classes beyond what a machine can address
      const auto end = idle.buffers.begin() + static_cast<std::ptrdiff_t>(idle.fewest);
      unused.insert(unused.end(), idle.buffers.begin(), end);
      idle.buffers.erase(idle.buffers.begin(), end);
      idle_bytes_ -= idle.fewest * CapacityOf(index);
      idle.fewest = idle.buffers.size();
    }
  }
  for (std::uint8_t* data : unused) std::free(data);
}

std::size_t BufferPool::idle_bytes() const {
  const std::lock_guard lock(mutex_);
  return idle_bytes_;
}

}  // namespace msfl
