#include "cache/whereabouts.h"

#include <charconv>
#include <utility>

namespace msfl::cache {

RedisAddress AddressOf(const RedisAddress& address, const RedisPlace& place) {
  RedisAddress one;
  one.host = place.host;
  one.port = place.port;
  one.socket_path = address.socket_path;
  one.user = address.user;
  one.password = address.password;
  one.database = address.database;
  return one;
}

Target Whereabouts::Next() const {
  Target target;
  if (named_) {
    target.address = AddressOf(start_, *named_);
    target.kind = start_.master.empty() ? PlaceKind::kRedis : PlaceKind::kMaster;
    return target;
  }
  RedisPlace place{start_.host, start_.port};
  if (place_ > 0) place = start_.others[place_ - 1];
  target.address = AddressOf(start_, place);
  if (!start_.master.empty()) {
    target.kind = PlaceKind::kSentinel;
    target.master = start_.master;
    target.address.user = start_.sentinel_user;
    target.address.password = start_.sentinel_password;
    target.address.database = 0;
  } else if (!start_.others.empty()) {
    target.kind = PlaceKind::kClusterNode;
  }
  return target;
}

Whereabouts::Failure Whereabouts::Failed(bool not_yet) {
  Failure failure;
  if (named_) {
    // Of a master that a sentinel names: it may not know yet that there is another, the next one may. Of a
    // node: others take over.
    const bool master = !start_.master.empty();
    named_.reset();
    failed_ = 0;
    hopeless_ = true;
    if (master) place_ = (place_ + 1) % (1 + start_.others.size());
    failure.not_yet = not_yet || !master;
    return failure;
  }
  hopeless_ = hopeless_ && !not_yet;
  place_ = (place_ + 1) % (1 + start_.others.size());
  if (++failed_ <= start_.others.size()) {
    failure.round_over = false;
    return failure;
  }
  failure.not_yet = !hopeless_;
  failed_ = 0;
  hopeless_ = true;
  return failure;
}

void Whereabouts::Lost() {
  if (!start_.master.empty()) named_.reset();
  failed_ = 0;
  hopeless_ = true;
}

bool Whereabouts::Moved(const RedisPlace& place) {
  if (++hops_ > kMostHops) {
    hops_ = 0;
    Lost();
    named_.reset();
    return false;
  }
  named_ = Completed(place);
  return true;
}

RedisPlace Whereabouts::Completed(const RedisPlace& place) const {
  RedisPlace completed = place;
  if (completed.host.empty()) completed.host = Next().address.host;
  return completed;
}

std::optional<Redirection> ParseRedirection(std::string_view error) {
  Redirection redirection;
  redirection.for_good = error.starts_with("MOVED ");
  if (!redirection.for_good && !error.starts_with("ASK ")) return {};
  error = error.substr(error.find(' ') + 1);
  const auto slot_end = error.find(' ');
  if (slot_end == std::string_view::npos) return {};
  error = error.substr(slot_end + 1);
  const auto colon = error.rfind(':');  // IPv6 addresses stand without brackets here
  if (colon == std::string_view::npos) return {};
  const std::string_view port = error.substr(colon + 1);
  std::uint16_t number = 0;
  const auto [end, fault] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (fault != std::errc() || end != port.data() + port.size() || number == 0) return {};
  const std::string_view host = error.substr(0, colon);
  if (host == "?") return {};  // a node that does not know its name
  redirection.place = RedisPlace(std::string(host), number);
  return redirection;
}

}  // namespace msfl::cache
