// JobStore: whose the parts of an iteration are.
#include "cache/job_store_impl.h"

namespace msfl::cache {
namespace {

template <class Verdict>
Result<Verdict> ReadPlainVerdict(const RedisValue& reply, Verdict last) {
  RedisValue list;
  list.array.push_back(reply);
  return ReadVerdict(Items(list), last);
}

}  // namespace

Task<Result<SetHoldersVerdict>> JobStore::SetHolders(IterationKey iteration, std::string part,
                                                     const Node& owner, std::vector<std::string> holders) {
  const Impl::Context context = impl_->ContextOf(iteration);
  const IterationKeys& rows = *context.keys;
  Digits digits;
  const std::array<std::string_view, 4> keys{impl_->keys.instance, rows.status, impl_->keys.nodes,
                                             rows.round};
  std::vector<std::string_view> arguments{
      rows.iteration.instance,        rows.number, part, owner.id, digits.Text(owner.epoch),
      context.rules->iteration_expiry};
  arguments.insert(arguments.end(), holders.begin(), holders.end());
  const auto reply = co_await impl_->redis.Run(Scripts().set_holders, keys, arguments);
  if (!reply) co_return reply.error();
  co_return ReadPlainVerdict(*reply, SetHoldersVerdict::kNotListed);
}

Task<Result<YieldVerdict>> JobStore::YieldPart(IterationKey iteration, std::string part) {
  const Impl::Context context = impl_->ContextOf(iteration);
  const IterationKeys& rows = *context.keys;
  const std::array<std::string_view, 4> keys{impl_->keys.instance, rows.status, impl_->keys.nodes,
                                             rows.round};
  const std::array<std::string_view, 3> arguments{rows.iteration.instance, rows.number, part};
  const auto reply = co_await impl_->redis.Run(Scripts().yield_part, keys, arguments);
  if (!reply) co_return reply.error();
  co_return ReadPlainVerdict(*reply, YieldVerdict::kNoHeir);
}

Task<Result<bool>> JobStore::ClaimPart(IterationKey iteration, std::string part, const Node& node) {
  const Impl::Context context = impl_->ContextOf(iteration);
  const IterationKeys& rows = *context.keys;
  Digits digits;
  const std::array<std::string_view, 4> keys{impl_->keys.instance, rows.status, impl_->keys.nodes,
                                             rows.round};
  const std::array<std::string_view, 5> arguments{rows.iteration.instance, rows.number, part, node.id,
                                                  digits.Text(node.epoch)};
  const auto reply = co_await impl_->redis.Run(Scripts().claim_part, keys, arguments);
  if (!reply) co_return reply.error();
  co_return reply->integer == 1;
}

Task<Result<TakeOverAnswer>> JobStore::TakeOver(IterationKey iteration, std::string part, const Node& heir,
                                                std::uint64_t uploads, std::vector<HeldUpdate> unsettled) {
  const Impl::Context context = impl_->ContextOf(iteration);
  const IterationKeys& rows = *context.keys;
  Digits digits;
  const std::array<std::string_view, 5> keys{impl_->keys.instance, rows.status, impl_->keys.nodes, rows.round,
                                             rows.updates};
  std::vector<std::string_view> arguments{rows.iteration.instance,
                                          rows.number,
                                          part,
                                          heir.id,
                                          digits.Text(heir.epoch),
                                          context.rules->update_threshold,
                                          context.rules->update_window,
                                          digits.Text(uploads)};
  for (const HeldUpdate& update : unsettled) {
    arguments.push_back(update.fl_id);
    arguments.push_back(update.nonce);
    arguments.push_back(update.digest);
  }
  const auto reply = co_await impl_->redis.Run(Scripts().take_over, keys, arguments);
  if (!reply) co_return reply.error();
  const Items items(*reply);
  const Result<TakeOverVerdict> verdict = ReadVerdict(items, TakeOverVerdict::kIncomplete);
  if (!verdict) co_return verdict.error();
  TakeOverAnswer answer;
  answer.verdict = *verdict;
  answer.counted = items.Count(1);
  co_return answer;
}

}  // namespace msfl::cache
