// Notices that a coroutine ended too early. An operation that can't even begin, for lack of memory, throws
// when the coroutine is suspended already: no catch in it sees that, its frame is destroyed, and the
// exception comes out of the event loop. For coroutines without which nothing goes on.
#pragma once

#include <functional>
#include <utility>

namespace msfl {

class LostCoroutine {
 public:
  // `tell` is called by the destructor, unless Ended() was called before; what it throws is dropped.
  explicit LostCoroutine(std::function<void()> tell) : tell_(std::move(tell)) {}
  LostCoroutine(const LostCoroutine&) = delete;
  LostCoroutine& operator=(const LostCoroutine&) = delete;
  ~LostCoroutine() {
    if (!tell_) return;
    try {
      tell_();
    } catch (...) {
    }
  }
  // It ends as it should.
  void Ended() { tell_ = nullptr; }

 private:
  std::function<void()> tell_;
};

}  // namespace msfl
