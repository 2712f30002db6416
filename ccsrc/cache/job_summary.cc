// JobStore: what the Servers write down together when an iteration has ended.
#include "cache/job_store_impl.h"

namespace msfl::cache {
namespace {

constexpr std::string_view kSummaryRowMs = "600000";

}  // namespace

Task<Result<Summaries>> JobStore::Summarise(IterationKey ended, std::string node_id, std::string text) {
  const IterationKeys rows(impl_->keys, std::move(ended));
  const std::array<std::string_view, 3> keys{impl_->keys.instance, impl_->keys.nodes, rows.summary};
  const std::array<std::string_view, 5> arguments{rows.iteration.instance, rows.number, node_id, text,
                                                  kSummaryRowMs};
  const auto reply = co_await impl_->redis.Run(Scripts().summarise, keys, arguments);
  if (!reply) co_return reply.error();
  const Items items(*reply);
  Summaries summaries;
  summaries.writer = items.Flag(0);
  summaries.recorded = items.Flag(1);
  summaries.complete = items.Flag(2);
  const std::vector<RedisValue>& flat = items.Array(3);
  for (std::size_t i = 0; i + 1 < flat.size(); i += 2) {
    summaries.texts.emplace(flat[i].text, flat[i + 1].text);
  }
  co_return summaries;
}

Task<Result<void>> JobStore::MarkRecorded(IterationKey ended) {
  const IterationKeys rows(impl_->keys, std::move(ended));
  const std::array<std::string_view, 2> keys{impl_->keys.instance, rows.summary};
  const std::array<std::string_view, 3> arguments{rows.iteration.instance, rows.number, kSummaryRowMs};
  const auto reply = co_await impl_->redis.Run(Scripts().mark_recorded, keys, arguments);
  if (!reply) co_return reply.error();
  co_return Result<void>();
}

}  // namespace msfl::cache
