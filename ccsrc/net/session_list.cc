#include "net/session_list.h"

namespace msfl::net {

void Session::Register() {
  registered_ = true;
  all_.next = list_.first_;
  if (all_.next != nullptr) all_.next->all_.previous = this;
  list_.first_ = this;
}

void Session::Unregister() {
  place_ = {};
  if (!registered_) return;
  LeaveIdle();
  if (all_.next != nullptr) all_.next->all_.previous = all_.previous;
  (all_.previous != nullptr ? all_.previous->all_.next : list_.first_) = all_.next;
  registered_ = false;
}

void Session::SetIdle(bool idle) {
  LeaveIdle();
  if (idle) EnterIdle();
}

void Session::EnterIdle() {
  idle_ = true;
  idle_since_ = SteadyClock::now();
  among_idle_ = {list_.shortest_idle_, nullptr};
  (list_.shortest_idle_ != nullptr ? list_.shortest_idle_->among_idle_.next : list_.longest_idle_) = this;
  list_.shortest_idle_ = this;
  list_.PublishIdle(+1);
}

void Session::LeaveIdle() {
  if (!idle_) return;
  idle_ = false;
  const auto [previous, next] = among_idle_;
  (previous != nullptr ? previous->among_idle_.next : list_.longest_idle_) = next;
  (next != nullptr ? next->among_idle_.previous : list_.shortest_idle_) = previous;
  list_.PublishIdle(-1);
}

void SessionList::PublishIdle(std::ptrdiff_t change) {
  const std::size_t count =
      idle_count_.load(std::memory_order_relaxed) + static_cast<std::size_t>(change);  // the only writer
  idle_count_.store(count, std::memory_order_relaxed);
  idle_since_.store(
      longest_idle_ == nullptr ? kNoneIdle : longest_idle_->idle_since_.time_since_epoch().count(),
      std::memory_order_relaxed);
}

void SessionList::CloseOverdue(SteadyClock::time_point now, HttpStats& stats) {
  for (Session* session = first_; session != nullptr; session = session->all_.next) {
    HttpLimit limit;
    if (session->deadline_ < now) {
      const SteadyClock::time_point later = session->Reprieve(now);
      if (later > now) {
        session->deadline_ = later;
        continue;
      }
      limit = session->limit_;
    } else if (session->withdrawn_ != nullptr && session->withdrawn_->load(std::memory_order_relaxed)) {
      limit = HttpLimit::kReplyWithdrawn;
    } else {
      continue;
    }
    if (limit != HttpLimit::kCount) stats.Limit(limit).fetch_add(1, std::memory_order_relaxed);
    session->WaitForever();
    session->WaitUnless(nullptr);
    // Whoever doesn't read an answer would make the system keep what is left of it.
    if (limit == HttpLimit::kReplyTime || limit == HttpLimit::kReplyWithdrawn) {
      session->Abort();
    } else {
      session->Close();
    }
  }
}

void SessionList::CloseIdle() {
  for (Session* session = longest_idle_; session != nullptr; session = session->among_idle_.next) {
    session->Close();
  }
}

void SessionList::CloseAll() {
  for (Session* session = first_; session != nullptr; session = session->all_.next) session->Close();
}

bool SessionList::EvictIdle() {
  Session* const session = longest_idle_;
  if (session == nullptr) return false;
  session->LeaveIdle();
  session->WaitForever();
  session->Close();
  session->place_ = {};
  return true;
}

}  // namespace msfl::net
