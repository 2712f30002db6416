#include "rounds/repeated_update.h"

#include <cstring>

#include "base/clock.h"

namespace msfl::rounds {

std::string UpdateDigest(model::UploadDigest of_weights, const schema::RequestUpdateModel& message,
                         std::string_view evaluation) {
  const float metrics[] = {message.upload_loss(), message.upload_accuracy()};
  std::string others(sizeof metrics, '\0');
  std::memcpy(others.data(), metrics, sizeof metrics);
  others += evaluation;
  of_weights.AddOther(others);
  return of_weights.Text();
}

Task<Result<bool>> WasCounted(RoundContext& context, const schema::RequestUpdateModel& message,
                              const UploadContent& content, std::string_view evaluation,
                              const job::Iteration& iteration) {
  constexpr std::chrono::milliseconds kLook(20), kPatience(5'000);
  const std::int64_t claimed = message.iteration();
  if (context.options.as_release_0_2 || !content.accepted || claimed < 1 ||
      claimed > static_cast<std::int64_t>(iteration.number())) {
    co_return false;
  }
  cache::IterationKey key = iteration.key();
  const bool ended =
      claimed < static_cast<std::int64_t>(key.number);  // what is not counted there never will be
  key.number = static_cast<std::uint64_t>(claimed);
  const SteadyClock::time_point until = SteadyClock::now() + kPatience;
  while (true) {
    const Result<cache::FoundUpdate> found =
        co_await context.store.FindUpdate(key, message.fl_id()->string_view());
    if (!found) co_return found.error();
    if (found->state == cache::FoundUpdate::State::kCounted) {
      const model::UploadDigest weights =
          model::DigestUpload(iteration.start_model()->layout(), content.contributions);
      co_return found->digest == UpdateDigest(weights, message, evaluation);
    }
    if (found->state == cache::FoundUpdate::State::kNone || ended || SteadyClock::now() >= until ||
        context.job.stopping()) {
      co_return false;
    }
    co_await Pause(kLook);
  }
}

}  // namespace msfl::rounds
