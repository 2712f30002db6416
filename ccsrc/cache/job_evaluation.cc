// JobStore: what devices found when they evaluated without labels (rounds.md, section 14).
#include "cache/job_store_impl.h"

namespace msfl::cache {

Task<Result<void>> JobStore::PushEvaluation(std::string instance, std::string_view vector,
                                            std::string_view nonce, std::uint64_t kept) {
  // Longer than a command may be under way.
  constexpr std::int64_t kNonceExpiryMs = 60'000;
  const Impl::Context context = impl_->ContextOf(impl_->LastSeen());
  const std::string list = impl_->keys.prefix + instance + ":evaluation";
  const std::string pushed = list + ":" + std::string(nonce);
  Digits digits;
  const std::array<std::string_view, 2> keys{list, pushed};
  const std::array<std::string_view, 4> arguments{vector, digits.Text(kept), context.rules->job_expiry,
                                                  digits.Text(kNonceExpiryMs)};
  const auto reply = co_await impl_->redis.Run(Scripts().push_evaluation, keys, arguments);
  if (!reply) co_return reply.error();
  co_return Result<void>();
}

}  // namespace msfl::cache
