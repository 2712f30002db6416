#include "cache/job_store_impl.h"

#include <random>

namespace msfl::cache {
namespace {

constexpr std::uint64_t kJobRowsMs = 7ULL * 24 * 3600 * 1000;
constexpr std::uint64_t kIterationRowsMs = 30ULL * 60 * 1000;

std::uint64_t Random() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

}  // namespace

RuleTexts::RuleTexts(const Windows& windows, const Thresholds& thresholds, std::uint64_t number)
    : start_threshold(std::to_string(thresholds.start_fl_job)),
      update_threshold(std::to_string(thresholds.update_model)),
      minimum(std::to_string(thresholds.minimum)),
      start_window(std::to_string(windows.start_fl_job)),
      update_window(std::to_string(windows.update_model)),
      global_window(std::to_string(windows.global_iteration)),
      iterations(std::to_string(number)),
      job_expiry(std::to_string(kJobRowsMs + windows.global_iteration)),
      iteration_expiry(std::to_string(kIterationRowsMs + windows.global_iteration)) {}

const std::string& Items::Text(std::size_t index) const {
  static const std::string empty;
  return Has(index) ? items_[index].text : empty;
}

const std::vector<RedisValue>& Items::Array(std::size_t index) const {
  static const std::vector<RedisValue> empty;
  return Has(index) ? items_[index].array : empty;
}

StatusAnswer ReadStatus(const Items& items) {
  StatusAnswer answer;
  answer.where = static_cast<StatusAnswer::Where>(items.Integer(0));
  answer.status.current.instance = items.Text(1);
  answer.status.current.number = FromText<std::uint64_t>(items.Text(2));
  answer.status.state = static_cast<InstanceState>(FromText<int>(items.Text(3)));
  answer.status.last_valid = items.Text(4) == "1";
  answer.status.last_reason = items.Text(5);
  answer.status.digest = items.Text(6);
  return answer;
}

Error RecordGone() {
  return Error{Errc::kDisagreement, "The job's record is no longer in the distributed cache"};
}

Error KeepsMoving() {
  return Error{Errc::kDisagreement,
               "The job's record in the distributed cache changes faster than it can be read"};
}

JobStore::Impl::Impl(RedisClient& redis_client, JobStoreOptions store_options)
    : redis(redis_client),
      options(std::move(store_options)),
      keys(options.fl_name),
      rules_(std::make_shared<const RuleTexts>(options.windows, options.thresholds, options.iterations)),
      last_(std::make_shared<const IterationKeys>(keys, IterationKey())),
      nonce_random_(Random()) {}

JobStore::Impl::Context JobStore::Impl::ContextOf(const IterationKey& iteration) {
  Context context;
  const std::lock_guard lock(mutex_);
  if (last_->iteration != iteration) last_ = std::make_shared<const IterationKeys>(keys, iteration);
  context.keys = last_;
  context.rules = rules_;
  return context;
}

std::shared_ptr<const RuleTexts> JobStore::Impl::Rules() {
  const std::lock_guard lock(mutex_);
  return rules_;
}

IterationKey JobStore::Impl::LastSeen() {
  const std::lock_guard lock(mutex_);
  return last_->iteration;
}

std::string JobStore::Impl::Nonce() {
  const std::lock_guard lock(mutex_);
  return std::to_string(nonce_random_) + "." + std::to_string(++nonce_count_);
}

std::vector<std::string> JobStore::Impl::Members() {
  const std::lock_guard lock(mutex_);
  return members_;
}

void JobStore::Impl::SetMembers(const std::vector<RedisValue>& ids) {
  const std::lock_guard lock(mutex_);
  members_.clear();
  for (const auto& id : ids) members_.push_back(id.text);
}

Task<Result<RedisValue>> JobStore::Impl::RunObserve(IterationKey iteration) {
  const IterationKeys rows(keys, std::move(iteration));
  const auto rules = Rules();
  const std::array<std::string_view, 4> script_keys{keys.instance, rows.status, keys.nodes, rows.round};
  const std::array<std::string_view, 3> arguments{rows.iteration.instance, rows.number,
                                                  rules->update_threshold};
  auto reply = co_await redis.Run(Scripts().observe, script_keys, arguments);
  co_return reply;
}

Task<Result<std::optional<Status>>> JobStore::Impl::CurrentStatus(IterationKey hint) {
  for (int pursuit = 0; pursuit < kPursuits; ++pursuit) {
    const auto reply = co_await RunObserve(hint);
    if (!reply) co_return reply.error();
    const Items items(*reply);
    StatusAnswer answer = ReadStatus(items);
    if (answer.where == StatusAnswer::Where::kGone) co_return std::optional<Status>();
    if (answer.where == StatusAnswer::Where::kHere) co_return std::optional<Status>(std::move(answer.status));
    hint.instance = answer.status.current.instance;
  }
  co_return KeepsMoving();
}

Task<Result<std::optional<Status>>> JobStore::Impl::Follow(StatusAnswer answer) {
  if (answer.where == StatusAnswer::Where::kGone) co_return std::optional<Status>();
  if (answer.where == StatusAnswer::Where::kHere) co_return std::optional<Status>(std::move(answer.status));
  IterationKey hint = answer.status.current;
  auto found = co_await CurrentStatus(hint);
  co_return found;
}

}  // namespace msfl::cache
