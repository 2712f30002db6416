#include "net/body_memory.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

namespace msfl::net {

struct BodyMemory::Holder {
  AddressKey key;
  std::uint64_t held = 0;
  BodyRoom* first = nullptr;  // of its waiters
  BodyRoom* last = nullptr;
  // Its entry in ready_ while it is not there, so that giving room back allocates nothing; else its key
  // there.
  Ready::node_type entry;
  std::uint64_t listed = 0;
};

BodyMemory::BodyMemory(std::shared_ptr<BufferPool> pool, std::uint64_t budget, double address_share,
                       HttpStats& stats)
    : pool_(std::move(pool)),
      budget_(std::min<std::uint64_t>(budget, std::numeric_limits<std::ptrdiff_t>::max())),
      shared_(address_share < 1.0),
      share_(shared_ ? static_cast<std::uint64_t>(static_cast<double>(budget_) * address_share) : budget_),
      stats_(stats) {
  pool_->LimitIdle(budget_);
}

BodyMemory::~BodyMemory() = default;

AddressKey BodyMemory::KeyOf(const BodyRoom& room) const { return shared_ ? room.address_ : AddressKey(); }

auto BodyMemory::HolderOf(const BodyRoom& room) -> Holder& {
  const AddressKey key = KeyOf(room);
  const auto [found, made] = holders_.try_emplace(key);
  Holder& holder = found->second;
  if (made) {
    try {
      Ready one;
      one.emplace(0, &holder);
      holder.entry = one.extract(one.begin());
    } catch (...) {
      holders_.erase(found);
      throw;
    }
    holder.key = key;
  }
  return holder;
}

bool BodyMemory::Fits(const Holder& holder, std::uint64_t cost) const {
  return !shared_ || holder.held == 0 || holder.held + cost <= share_;
}

// Lets an address enter ready_, leave it, or move in it, and forgets it when nothing is left of it.
void BodyMemory::Update(Holder& holder) noexcept {
  const bool listed = holder.entry.empty();
  const bool wanted = holder.first != nullptr && Fits(holder, holder.first->cost_);
  if (listed && (!wanted || holder.listed != holder.first->ticket_)) {
    holder.entry = ready_.extract(holder.listed);
  }
  if (wanted && !holder.entry.empty()) {
    holder.listed = holder.first->ticket_;
    holder.entry.key() = holder.listed;
    ready_.insert(std::move(holder.entry));
    holder.entry = {};
  }
  if (shared_ && holder.first == nullptr && holder.held == 0) holders_.erase(AddressKey(holder.key));
}

void BodyMemory::Occupy(Holder& holder, std::uint64_t more, std::uint64_t less,
                        BufferPool::Surplus& surplus) noexcept {
  used_ += more - less;
  holder.held += more - less;
  stats_.body_memory_used.store(used_, std::memory_order_relaxed);
  surplus.Add(pool_->LimitIdle(budget_ - std::min(budget_, used_)));
}

void BodyMemory::Grant(BodyRoom& room, Holder& holder, BufferPool::Surplus& surplus) noexcept {
  room.state_ = BodyRoom::State::kHeld;
  room.buffer_ = pool_->TakeIdle(room.bytes_);  // before the pool has to shrink
  Occupy(holder, room.cost_, 0, surplus);
}

void BodyMemory::Unlink(BodyRoom& room, Holder& holder) noexcept {
  (room.previous_ != nullptr ? room.previous_->next_ : holder.first) = room.next_;
  (room.next_ != nullptr ? room.next_->previous_ : holder.last) = room.previous_;
  room.previous_ = room.next_ = nullptr;
  stats_.bodies_waiting.fetch_sub(1, std::memory_order_relaxed);
}

void BodyMemory::Wake(BodyRoom& room) noexcept {
  try {
    room.wake_();
  } catch (...) {
    // No memory to post with: whoever waits looks for itself at intervals.
  }
}

void BodyMemory::Serve(BufferPool::Surplus& surplus) noexcept {
  while (!ready_.empty()) {
    Holder& holder = *ready_.begin()->second;
    BodyRoom& room = *holder.first;
    if (used_ + room.cost_ > budget_) return;
    Unlink(room, holder);
    Grant(room, holder, surplus);
    Update(holder);
    Wake(room);
  }
}

void BodyMemory::EndWaiting() noexcept {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  for (auto next = holders_.begin(); next != holders_.end();) {
    Holder& holder = next->second;
    ++next;  // Update may erase it
    while (holder.first != nullptr) {
      BodyRoom& room = *holder.first;
      Unlink(room, holder);
      room.state_ = BodyRoom::State::kNothing;
      Wake(room);
    }
    Update(holder);
  }
}

bool BodyMemory::Take(BodyRoom& room, std::size_t bytes, BufferPool::Surplus& surplus) {
  room.bytes_ = bytes;
  // A body is let in alone even if buffers of its size class are larger than all there is.
  room.cost_ = std::min<std::uint64_t>(BufferPool::CapacityFor(bytes), budget_);
  // Who is in ready_ waits for the budget and goes first.
  if (!ready_.empty() || used_ + room.cost_ > budget_) return false;
  Holder& holder = HolderOf(room);
  if (holder.first != nullptr || !Fits(holder, room.cost_)) return false;
  Grant(room, holder, surplus);
  return true;
}

void BodyMemory::Enqueue(BodyRoom& room) {
  Holder& holder = HolderOf(room);
  room.ticket_ = next_ticket_++;
  room.state_ = BodyRoom::State::kWaiting;
  room.previous_ = holder.last;
  (holder.last != nullptr ? holder.last->next_ : holder.first) = &room;
  holder.last = &room;
  stats_.bodies_waiting.fetch_add(1, std::memory_order_relaxed);
  Update(holder);
}

void BodyMemory::Leave(BodyRoom& room, BufferPool::Surplus& surplus) noexcept {
  Holder& holder = holders_.find(KeyOf(room))->second;
  Unlink(room, holder);
  room.state_ = BodyRoom::State::kNothing;
  Update(holder);
  Serve(surplus);  // it may have been what the others waited behind
}

void BodyMemory::GiveBack(BodyRoom& room, BufferPool::Surplus& surplus) noexcept {
  Holder& holder = holders_.find(KeyOf(room))->second;
  Occupy(holder, 0, room.cost_, surplus);
  room.buffer_ = Buffer();  // now it may stay in the pool, and serve the next
  room.state_ = BodyRoom::State::kNothing;
  Update(holder);
  Serve(surplus);
}

bool BodyMemory::Grow(BodyRoom& room, std::size_t bytes, BufferPool::Surplus& surplus) noexcept {
  Holder& holder = holders_.find(KeyOf(room))->second;
  const std::uint64_t cost = std::min<std::uint64_t>(BufferPool::CapacityFor(bytes), budget_);
  const std::uint64_t more = cost - std::min(cost, room.cost_);
  const bool alone = holder.held == room.cost_;
  if (used_ + more > budget_ || (shared_ && !alone && holder.held + more > share_)) return false;
  room.bytes_ = bytes;
  room.cost_ += more;
  Occupy(holder, more, 0, surplus);
  Update(holder);  // its waiters may have to wait longer now
  return true;
}

// What is to be freed is freed when the lock is let go: each `surplus` outlives it.

bool BodyRoom::Take(std::size_t bytes) {
  engaged_ = true;
  BufferPool::Surplus surplus;
  const std::lock_guard lock(memory_.mutex_);
  return memory_.Take(*this, bytes, surplus);
}

void BodyRoom::Await(std::size_t bytes, std::function<void()> wake) {
  engaged_ = true;
  BufferPool::Surplus surplus;
  const std::lock_guard lock(memory_.mutex_);
  if (memory_.Take(*this, bytes, surplus) || memory_.ended_) return;
  wake_ = std::move(wake);
  memory_.Enqueue(*this);
}

bool BodyRoom::waiting() const {
  const std::lock_guard lock(memory_.mutex_);
  return state_ == State::kWaiting;
}

bool BodyRoom::Leave() {
  BufferPool::Surplus surplus;
  const std::lock_guard lock(memory_.mutex_);
  if (state_ == State::kWaiting) memory_.Leave(*this, surplus);
  wake_ = nullptr;
  return state_ == State::kHeld;
}

Buffer& BodyRoom::buffer() {
  if (buffer_.data() == nullptr) buffer_ = memory_.pool_->Take(bytes_);
  return buffer_;
}

bool BodyRoom::Grow(std::size_t bytes, std::size_t keep) {
  {
    BufferPool::Surplus surplus;
    const std::lock_guard lock(memory_.mutex_);
    if (!memory_.Grow(*this, bytes, surplus)) return false;
  }
  // Both are held while one is copied, which nobody else on this loop can do meanwhile.
  Buffer grown = memory_.pool_->Take(bytes);
  if (keep > 0) std::memcpy(grown.data(), buffer_.data(), keep);
  buffer_ = std::move(grown);
  return true;
}

void BodyRoom::Release() noexcept {
  // Only the owner moves it out of kNothing, so that this needs no lock.
  if (!engaged_) return;
  engaged_ = false;
  BufferPool::Surplus surplus;
  const std::lock_guard lock(memory_.mutex_);
  if (state_ == State::kWaiting) memory_.Leave(*this, surplus);
  if (state_ == State::kHeld) memory_.GiveBack(*this, surplus);
}

}  // namespace msfl::net
