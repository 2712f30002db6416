// JobStore: what a device's request asks; the fast path.
#include "cache/job_store_impl.h"

namespace msfl::cache {

Task<Result<JoinAnswer>> JobStore::Join(JoinRequest request) {
  const Impl::Context context = impl_->ContextOf(request.iteration);
  const IterationKeys& rows = *context.keys;
  const RuleTexts& rules = *context.rules;
  Digits digits;
  const std::array<std::string_view, 4> keys{impl_->keys.instance, rows.status, rows.round, rows.devices};
  const std::array<std::string_view, 11> arguments{rows.iteration.instance,
                                                   rows.number,
                                                   request.fl_id,
                                                   digits.Text(request.data_size),
                                                   digits.Text(request.eval_data_size),
                                                   request.nonce,
                                                   request.content_accepted ? "1" : "0",
                                                   rules.start_threshold,
                                                   rules.start_window,
                                                   rules.global_window,
                                                   rules.iteration_expiry};
  const auto reply = co_await impl_->redis.Run(Scripts().join, keys, arguments);
  if (!reply) co_return reply.error();
  const Items items(*reply);
  const Result<JoinVerdict> verdict = ReadVerdict(items, JoinVerdict::kAlreadyJoined);
  if (!verdict) co_return verdict.error();
  JoinAnswer answer;
  answer.verdict = *verdict;
  answer.started = items.Count(1);
  answer.first = items.Flag(2);
  answer.last = items.Flag(3);
  answer.deadline_in_ms = items.Optional(4);
  co_return answer;
}

Task<Result<ReserveAnswer>> JobStore::Reserve(ReserveRequest request, const Node& node) {
  const Impl::Context context = impl_->ContextOf(request.iteration);
  const IterationKeys& rows = *context.keys;
  const RuleTexts& rules = *context.rules;
  Digits digits;
  const std::array<std::string_view, 5> keys{impl_->keys.instance, rows.status, rows.round, rows.devices,
                                             rows.updates};
  const std::array<std::string_view, 11> arguments{rows.iteration.instance,
                                                   rows.number,
                                                   request.fl_id,
                                                   request.nonce,
                                                   request.content_accepted ? "1" : "0",
                                                   digits.Text(request.claimed_iteration),
                                                   node.id,
                                                   digits.Text(node.epoch),
                                                   rules.update_threshold,
                                                   rules.update_window,
                                                   rules.iteration_expiry};
  const auto reply = co_await impl_->redis.Run(Scripts().reserve, keys, arguments);
  if (!reply) co_return reply.error();
  const Items items(*reply);
  const Result<ReserveVerdict> verdict = ReadVerdict(items, ReserveVerdict::kAlreadyUpdated);
  if (!verdict) co_return verdict.error();
  ReserveAnswer answer;
  answer.verdict = *verdict;
  answer.data_size = items.Count(1);
  answer.eval_data_size = items.Count(2);
  answer.joined_ms = items.Integer(3);
  answer.now_ms = items.Integer(4);
  answer.taken = items.Count(5);
  answer.first = items.Flag(6);
  answer.full = items.Flag(7);
  answer.deadline_in_ms = items.Optional(8);
  co_return answer;
}

Task<Result<CommitAnswer>> JobStore::Commit(IterationKey iteration, std::string_view fl_id,
                                            std::string_view nonce, const Node& node,
                                            std::string_view digest) {
  const Impl::Context context = impl_->ContextOf(iteration);
  const IterationKeys& rows = *context.keys;
  const RuleTexts& rules = *context.rules;
  Digits digits;
  const std::array<std::string_view, 5> keys{impl_->keys.instance, rows.status, impl_->keys.nodes, rows.round,
                                             rows.updates};
  const std::array<std::string_view, 9> arguments{
      rows.iteration.instance, rows.number,         fl_id, nonce, node.id, digits.Text(node.epoch),
      rules.update_threshold,  rules.update_window, digest};
  const auto reply = co_await impl_->redis.Run(Scripts().commit, keys, arguments);
  if (!reply) co_return reply.error();
  const Items items(*reply);
  const Result<CommitVerdict> verdict = ReadVerdict(items, CommitVerdict::kFenced);
  if (!verdict) co_return verdict.error();
  CommitAnswer answer;
  answer.verdict = *verdict;
  answer.counted = items.Count(1);
  answer.last = items.Flag(2);
  co_return answer;
}

Task<Result<FoundUpdate>> JobStore::FindUpdate(IterationKey iteration, std::string_view fl_id) {
  const IterationKeys rows(impl_->keys, std::move(iteration));
  std::vector<std::string> words{"HGET", rows.updates, std::string(fl_id)};
  const auto reply = co_await impl_->redis.Command(std::move(words));
  if (!reply) co_return reply.error();
  FoundUpdate found;
  const std::string_view row = reply->text;
  if (row.starts_with("leased ")) found.state = FoundUpdate::State::kLeased;
  if (row.starts_with("counted ")) {
    found.state = FoundUpdate::State::kCounted;
    found.digest = row.substr(row.rfind(' ') + 1);
  }
  co_return found;
}

Task<Result<void>> JobStore::Withdraw(IterationKey iteration, std::string fl_id, std::string nonce) {
  const Impl::Context context = impl_->ContextOf(iteration);
  const IterationKeys& rows = *context.keys;
  const RuleTexts& rules = *context.rules;
  const std::array<std::string_view, 5> keys{impl_->keys.instance, rows.status, rows.round, rows.devices,
                                             rows.updates};
  const std::array<std::string_view, 9> arguments{rows.iteration.instance,
                                                  rows.number,
                                                  fl_id,
                                                  nonce,
                                                  rules.start_threshold,
                                                  rules.start_window,
                                                  rules.update_threshold,
                                                  rules.update_window,
                                                  rules.iteration_expiry};
  const auto reply = co_await impl_->redis.Run(Scripts().withdraw, keys, arguments);
  if (!reply) co_return reply.error();
  co_return Result<void>();
}

}  // namespace msfl::cache
