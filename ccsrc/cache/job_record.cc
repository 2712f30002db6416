// JobStore: the instance, its status and the moves between iterations.
#include <algorithm>

#include "cache/job_store_impl.h"

namespace msfl::cache {
namespace {

// Updates that are being received have this long to be counted when the window of their round ends. A lease
// is taken when the upload has arrived, so it is milliseconds old, or its Server is in trouble.
constexpr std::string_view kLastUpdatesMs = "5000";

std::string StateText(InstanceState state) { return std::to_string(static_cast<int>(state)); }

void AppendPairs(std::vector<std::string_view>& arguments, const std::map<std::string, std::string>& pairs) {
  for (const auto& [name, value] : pairs) {
    arguments.push_back(name);
    arguments.push_back(value);
  }
}

std::map<std::string, std::string> ToMap(const std::vector<RedisValue>& flat) {
  std::map<std::string, std::string> map;
  for (std::size_t i = 0; i + 1 < flat.size(); i += 2) map.emplace(flat[i].text, flat[i + 1].text);
  return map;
}

std::vector<Contributor> ReadContributors(const std::vector<RedisValue>& flat) {
  std::vector<Contributor> contributors;
  for (std::size_t i = 0; i + 2 < flat.size(); i += 3) {
    Contributor contributor;
    contributor.node_id = flat[i].text;
    contributor.tcp_address = flat[i + 1].text;
    contributor.counted = static_cast<std::uint64_t>(flat[i + 2].integer);
    contributors.push_back(std::move(contributor));
  }
  std::ranges::sort(contributors, {}, &Contributor::node_id);
  return contributors;
}

std::vector<Orphan> ReadOrphans(const std::vector<RedisValue>& flat) {
  std::vector<Orphan> orphans;
  for (std::size_t i = 0; i + 1 < flat.size(); i += 2) {
    Orphan orphan;
    orphan.part = flat[i].text;
    orphan.heir = flat[i + 1].text;
    orphans.push_back(std::move(orphan));
  }
  return orphans;
}

}  // namespace

Task<Result<JobStore::Opened>> JobStore::Open(Status candidate, std::map<std::string, std::string> hyper) {
  return impl_->Open(std::move(candidate), std::move(hyper), true);
}

Task<Result<JobStore::Opened>> JobStore::Follow(Status candidate, std::map<std::string, std::string> hyper) {
  return impl_->Open(std::move(candidate), std::move(hyper), false);
}

Task<Result<JobStore::Opened>> JobStore::Impl::Open(Status candidate,
                                                    std::map<std::string, std::string> hyper,
                                                    bool from_nothing) {
  const std::string nonce = Nonce(), state = StateText(candidate.state);
  IterationKey where = candidate.current;
  for (int pursuit = 0; pursuit < kPursuits; ++pursuit) {
    const Context context = ContextOf(where);
    const IterationKeys& rows = *context.keys;
    const std::array<std::string_view, 3> names{keys.instance, rows.status, rows.hyper};
    std::vector<std::string_view> arguments{rows.iteration.instance,
                                            rows.number,
                                            state,
                                            candidate.last_valid ? "1" : "0",
                                            candidate.last_reason,
                                            nonce,
                                            context.rules->job_expiry,
                                            from_nothing ? std::string_view(rows.number) : "",
                                            from_nothing ? "" : std::string_view(candidate.digest)};
    AppendPairs(arguments, hyper);
    const auto reply = co_await redis.Run(Scripts().open, names, arguments);
    if (!reply) co_return reply.error();
    const Items items(*reply);
    StatusAnswer found = ReadStatus(items);
    if (found.where == StatusAnswer::Where::kHere) {
      Opened opened;
      opened.status = std::move(found.status);
      opened.created = items.Flag(StatusAnswer::kItems);
      opened.hyper = ToMap(items.Array(StatusAnswer::kItems + 1));
      co_return opened;
    }
    where.instance = found.status.current.instance;
  }
  co_return KeepsMoving();
}

Task<Result<std::string>> JobStore::AgreeOnModel(std::string description) {
  const Impl::Context context = impl_->ContextOf(impl_->LastSeen());
  const std::array<std::string_view, 2> keys{impl_->keys.instance, impl_->keys.model};
  const std::array<std::string_view, 2> arguments{description, context.rules->job_expiry};
  auto reply = co_await impl_->redis.Run(Scripts().agree_on_model, keys, arguments);
  if (!reply) co_return reply.error();
  co_return std::move(reply->text);
}

Task<Result<AdvanceAnswer>> JobStore::Advance(IterationKey from, bool valid, std::string reason,
                                              std::string digest) {
  const Impl::Context context = impl_->ContextOf(from);
  const IterationKeys& rows = *context.keys;
  const std::string nonce = impl_->Nonce();
  const std::array<std::string_view, 5> keys{impl_->keys.instance, rows.status, rows.round, rows.devices,
                                             rows.updates};
  const std::array<std::string_view, 7> arguments{
      rows.iteration.instance,   rows.number, valid ? "1" : "0", reason, nonce,
      context.rules->iterations, digest};
  const auto reply = co_await impl_->redis.Run(Scripts().advance, keys, arguments);
  if (!reply) co_return reply.error();
  const Items items(*reply);
  auto status = co_await impl_->Follow(ReadStatus(items));
  if (!status) co_return status.error();
  if (!*status) co_return RecordGone();
  AdvanceAnswer answer;
  answer.verdict = items.Flag(StatusAnswer::kItems) ? AdvanceVerdict::kMovedByUs : AdvanceVerdict::kMoved;
  answer.status = std::move(**status);
  co_return answer;
}

Task<Result<std::string>> JobStore::ReplaceDigest(IterationKey current, std::string from, std::string to) {
  const IterationKeys rows(impl_->keys, std::move(current));
  const std::array<std::string_view, 2> keys{impl_->keys.instance, rows.status};
  const std::array<std::string_view, 4> arguments{rows.iteration.instance, rows.number, from, to};
  const auto reply = co_await impl_->redis.Run(Scripts().replace_digest, keys, arguments);
  if (!reply) co_return reply.error();
  const Items items(*reply);
  auto status = co_await impl_->Follow(ReadStatus(items));
  if (!status) co_return status.error();
  std::string digest;
  if (*status) digest = std::move((*status)->digest);
  co_return digest;
}

Task<Result<ExpireAnswer>> JobStore::Expire(IterationKey from) {
  const Impl::Context context = impl_->ContextOf(from);
  const IterationKeys& rows = *context.keys;
  const std::string nonce = impl_->Nonce();
  const std::array<std::string_view, 5> keys{impl_->keys.instance, rows.status, rows.round, rows.devices,
                                             rows.updates};
  const RuleTexts& rules = *context.rules;
  const std::array<std::string_view, 7> arguments{
      rows.iteration.instance, rows.number,   nonce,         rules.iterations,
      rules.update_threshold,  rules.minimum, kLastUpdatesMs};
  const auto reply = co_await impl_->redis.Run(Scripts().expire, keys, arguments);
  if (!reply) co_return reply.error();
  const Items items(*reply);
  auto status = co_await impl_->Follow(ReadStatus(items));
  if (!status) co_return status.error();
  if (!*status) co_return RecordGone();
  ExpireAnswer answer;
  answer.expired = items.Flag(StatusAnswer::kItems);
  answer.status = std::move(**status);
  answer.deadline_in_ms = items.Optional(StatusAnswer::kItems + 1);
  co_return answer;
}

Task<Result<Snapshot>> JobStore::Observe(IterationKey current) {
  for (int pursuit = 0; pursuit < kPursuits; ++pursuit) {
    const auto reply = co_await impl_->RunObserve(current);
    if (!reply) co_return reply.error();
    const Items items(*reply);
    StatusAnswer found = ReadStatus(items);
    if (found.where == StatusAnswer::Where::kGone) co_return Snapshot();
    if (found.where == StatusAnswer::Where::kHere && items.size() > StatusAnswer::kItems) {
      Snapshot snapshot;
      snapshot.known = true;
      snapshot.status = std::move(found.status);
      snapshot.started = items.Count(StatusAnswer::kItems);
      snapshot.leased = items.Count(StatusAnswer::kItems + 1);
      snapshot.counted = items.Count(StatusAnswer::kItems + 2);
      snapshot.deadline_in_ms = items.Optional(StatusAnswer::kItems + 3);
      snapshot.contributor_lost = items.Flag(StatusAnswer::kItems + 4);
      if (const auto target = items.Optional(StatusAnswer::kItems + 5)) {
        snapshot.target = static_cast<std::uint64_t>(*target);
        snapshot.timed_out = items.Text(StatusAnswer::kItems + 6);
      }
      snapshot.contributors = ReadContributors(items.Array(StatusAnswer::kItems + 7));
      snapshot.orphans = ReadOrphans(items.Array(StatusAnswer::kItems + 8));
      co_return snapshot;
    }
    if (found.where == StatusAnswer::Where::kHere) current.number = found.status.current.number;
    current.instance = found.status.current.instance;
  }
  co_return KeepsMoving();
}

Task<Result<Status>> JobStore::Recreate(Status status, std::map<std::string, std::string> hyper,
                                        std::string description, std::string found_instance) {
  const Impl::Context context = impl_->ContextOf(status.current);
  const IterationKeys& rows = *context.keys;
  const IterationKeys other(impl_->keys, IterationKey{found_instance, 1});
  const std::string state = StateText(status.state);
  const std::string reason =
      "The instance status info stored in distributed cache is empty, current iteration: " + rows.number;
  const std::array<std::string_view, 7> keys{
      impl_->keys.instance, rows.status,           rows.hyper,           impl_->keys.model,
      other.status,         impl_->keys.forgotten, impl_->keys.settings,
  };
  std::vector<std::string_view> arguments{rows.iteration.instance,
                                          rows.number,
                                          state,
                                          status.last_valid ? "1" : "0",
                                          status.last_reason,
                                          reason,
                                          context.rules->iterations,
                                          context.rules->job_expiry,
                                          description,
                                          status.digest,
                                          found_instance,
                                          impl_->options.settings};
  AppendPairs(arguments, hyper);
  const auto reply = co_await impl_->redis.Run(Scripts().recreate, keys, arguments);
  if (!reply) co_return reply.error();
  const Items items(*reply);
  const StatusAnswer answer = ReadStatus(items);
  if (answer.where == StatusAnswer::Where::kGone) {
    co_return Error{Errc::kStopping, "`msfl reset` has removed the job while this Server was away"};
  }
  auto found = co_await impl_->Follow(answer);
  if (!found) co_return found.error();
  if (!*found) co_return KeepsMoving();
  co_return std::move(**found);
}

Task<Result<JobStore::StateAnswer>> JobStore::SetState(IterationKey current, InstanceState state) {
  if (state == InstanceState::kFinish) {
    co_return Error{Errc::kInvalidArgument,
                    "State Finish is reached by the last iteration; allowed are Running, Disable and Stop"};
  }
  const std::string nonce = impl_->Nonce(), wanted = StateText(state);
  for (int pursuit = 0; pursuit < kPursuits; ++pursuit) {
    const Impl::Context context = impl_->ContextOf(current);
    const IterationKeys& rows = *context.keys;
    const std::array<std::string_view, 5> keys{impl_->keys.instance, rows.status, rows.round, rows.devices,
                                               rows.updates};
    const std::array<std::string_view, 5> arguments{rows.iteration.instance, rows.number, wanted, nonce,
                                                    context.rules->iterations};
    const auto reply = co_await impl_->redis.Run(Scripts().set_state, keys, arguments);
    if (!reply) co_return reply.error();
    const Items items(*reply);
    StatusAnswer found = ReadStatus(items);
    if (found.where == StatusAnswer::Where::kGone) co_return RecordGone();
    if (found.where == StatusAnswer::Where::kHere && items.Flag(StatusAnswer::kItems)) {
      StateAnswer answer;
      answer.status = std::move(found.status);
      answer.before = static_cast<InstanceState>(FromText<int>(items.Text(StatusAnswer::kItems + 1)));
      co_return answer;
    }
    if (found.where == StatusAnswer::Where::kHere) current.number = found.status.current.number;
    current.instance = found.status.current.instance;
  }
  co_return KeepsMoving();
}

Task<Result<Status>> JobStore::NewInstance(std::string name, std::map<std::string, std::string> changed) {
  const std::string nonce = impl_->Nonce();
  const IterationKeys fresh(impl_->keys, IterationKey{name, 1});
  IterationKey old = impl_->LastSeen();
  for (int pursuit = 0; pursuit < kPursuits; ++pursuit) {
    const Impl::Context context = impl_->ContextOf(old);
    const IterationKeys& rows = *context.keys;
    const std::array<std::string_view, 5> keys{impl_->keys.instance, rows.status, rows.hyper, fresh.status,
                                               fresh.hyper};
    std::vector<std::string_view> arguments{rows.iteration.instance, name, nonce, context.rules->job_expiry};
    AppendPairs(arguments, changed);
    const auto reply = co_await impl_->redis.Run(Scripts().new_instance, keys, arguments);
    if (!reply) co_return reply.error();
    const Items items(*reply);
    StatusAnswer found = ReadStatus(items);
    if (found.where == StatusAnswer::Where::kGone) co_return RecordGone();
    if (found.where == StatusAnswer::Where::kHere) co_return std::move(found.status);
    old.instance = found.status.current.instance;
  }
  co_return KeepsMoving();
}

Task<Result<JobStore::Rows>> JobStore::Read(IterationKey iteration) {
  const IterationKeys keys(impl_->keys, iteration);
  Rows rows;
  const std::pair<const std::string*, std::map<std::string, std::string>*> wanted[] = {
      {&impl_->keys.nodes, &rows.nodes}, {&keys.status, &rows.status},   {&keys.hyper, &rows.hyper},
      {&keys.round, &rows.round},        {&keys.devices, &rows.devices}, {&keys.updates, &rows.updates}};
  for (const auto& [key, map] : wanted) {
    std::vector<std::string> words;
    words.push_back("HGETALL");
    words.push_back(*key);
    const auto reply = co_await impl_->redis.Command(std::move(words));
    if (!reply) co_return reply.error();
    *map = ToMap(reply->array);
  }
  co_return rows;
}

}  // namespace msfl::cache
