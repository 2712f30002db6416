#include "net/session_list.h"

namespace msfl::net {

void Session::Register() {
  registered_ = true;
  next_ = list_.first_;
  if (next_ != nullptr) next_->previous_ = this;
  list_.first_ = this;
  ++list_.size_;
}

void Session::Unregister() {
  if (!registered_) return;
  if (next_ != nullptr) next_->previous_ = previous_;
  if (previous_ != nullptr) {
    previous_->next_ = next_;
  } else {
    list_.first_ = next_;
  }
  --list_.size_;
  registered_ = false;
}

void SessionList::CloseOverdue(SteadyClock::time_point now) {
  for (Session* session = first_; session != nullptr; session = session->next_) {
    if (session->deadline_ < now) {
      session->WaitForever();
      session->Close();
    }
  }
}

void SessionList::CloseIdle() {
  for (Session* session = first_; session != nullptr; session = session->next_) {
    if (session->idle_) session->Close();
  }
}

void SessionList::CloseAll() {
  for (Session* session = first_; session != nullptr; session = session->next_) session->Close();
}

}  // namespace msfl::net
