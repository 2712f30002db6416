// What the parts of JobStore share: keys, rules as script arguments, the reading of script answers.
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cache/job_keys.h"
#include "cache/job_scripts.h"
#include "cache/job_store.h"

namespace msfl::cache {

// Rules as the scripts take them.
struct RuleTexts {
  RuleTexts(const Windows& windows, const Thresholds& thresholds, std::uint64_t iterations);
  std::string start_threshold, update_threshold, minimum, start_window, update_window, global_window,
      iterations;
  std::string job_expiry, iteration_expiry;  // ms
};

// The integer texts of one call, kept where the views of them stay valid.
class Digits {
 public:
  template <std::integral Number>
  std::string_view Text(Number number) {
    char* begin = &characters_[used_];
    char* end = std::to_chars(begin, begin + kWidth, number).ptr;
    used_ += kWidth;
    return std::string_view(begin, static_cast<std::size_t>(end - begin));
  }

 private:
  static constexpr std::size_t kWidth = 20, kNumbers = 4;
  std::array<char, kWidth * kNumbers> characters_;
  std::size_t used_ = 0;
};

// Items of a script's answer; absent and nil are the same, since Lua cuts trailing nils.
class Items {
 public:
  explicit Items(const RedisValue& value) : items_(value.array) {}
  std::int64_t Integer(std::size_t index) const { return Has(index) ? items_[index].integer : 0; }
  std::uint64_t Count(std::size_t index) const { return static_cast<std::uint64_t>(Integer(index)); }
  bool Flag(std::size_t index) const { return Integer(index) == 1; }
  std::optional<std::int64_t> Optional(std::size_t index) const {
    if (!Has(index) || items_[index].kind != RedisValue::Kind::kInteger) return std::nullopt;
    return items_[index].integer;
  }
  const std::string& Text(std::size_t index) const;
  const std::vector<RedisValue>& Array(std::size_t index) const;
  std::size_t size() const { return items_.size(); }

 private:
  bool Has(std::size_t index) const { return index < items_.size(); }
  const std::vector<RedisValue>& items_;
};

// The verdict at the head of an answer. Whatever else comes must not pass for the first one, which accepts:
// it is taken for no answer.
template <class Verdict>
Result<Verdict> ReadVerdict(const Items& items, Verdict last) {
  const std::optional<std::int64_t> number = items.Optional(0);
  if (!number || *number < 0 || *number > static_cast<std::int64_t>(last)) {
    return Error{Errc::kCacheUnavailable, "The distributed cache answered something else than a verdict"};
  }
  return static_cast<Verdict>(*number);
}

// 0 for what is no number.
template <class Number>
Number FromText(const std::string& text) {
  Number number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// The head of an answer that tells the status, see scripts/parts/status.lua.
struct StatusAnswer {
  enum class Where { kGone = 0, kElsewhere = 1, kHere = 2 };
  static constexpr std::size_t kItems = 7;
  Where where = Where::kGone;
  Status status;  // only the instance with kElsewhere
};
StatusAnswer ReadStatus(const Items& items);
Error RecordGone();

struct JobStore::Impl {
  Impl(RedisClient& redis_client, JobStoreOptions store_options);

  struct Context {
    std::shared_ptr<const IterationKeys> keys;
    std::shared_ptr<const RuleTexts> rules;
  };
  Context ContextOf(const IterationKey& iteration);
  std::shared_ptr<const RuleTexts> Rules();
  IterationKey LastSeen();
  std::string Nonce();
  // The nodes known so far; Heartbeat and ListServers must name their rows, as a script's keys are named by
  // its caller.
  std::vector<std::string> Members();
  void SetMembers(const std::vector<RedisValue>& ids);

  Task<Result<RedisValue>> RunObserve(IterationKey iteration);
  Task<Result<Opened>> Open(Status candidate, std::map<std::string, std::string> hyper, bool from_nothing);
  // The status of whatever instance is current; nothing when the record is gone.
  Task<Result<std::optional<Status>>> CurrentStatus(IterationKey hint);
  // The status in an answer, or that of the instance the answer points to.
  Task<Result<std::optional<Status>>> Follow(StatusAnswer answer);

  RedisClient& redis;
  const JobStoreOptions options;
  const JobKeys keys;

 private:
  std::mutex mutex_;  // guards what follows
  std::shared_ptr<const RuleTexts> rules_;
  std::shared_ptr<const IterationKeys> last_;
  std::vector<std::string> members_;
  std::uint64_t nonce_random_, nonce_count_ = 0;
  friend class JobStore;
};

// A record that moves between each look and the next is tried again this often.
inline constexpr int kPursuits = 8;
Error KeepsMoving();

}  // namespace msfl::cache
