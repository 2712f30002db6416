// An update that comes again, since its device has not heard the answer. Beyond the reference, which refuses
// it (rounds.md, 4.2): the device can't know that it was counted.
#pragma once

#include "rounds/round_context.h"
#include "rounds/update_content.h"

namespace msfl::rounds {

// What an update is known by: of its weights, loss, accuracy and evaluation vector.
std::string UpdateDigest(model::UploadDigest of_weights, const schema::RequestUpdateModel& message,
                         std::string_view evaluation);

// Whether this very update was counted before, by whichever Server, in the running iteration or in one that
// ended less than a minute ago. While its first request is at work the verdict on that one is awaited. Always
// false with ServerOptions::as_release_0_2. Errors: those of the cache.
Task<Result<bool>> WasCounted(RoundContext& context, const schema::RequestUpdateModel& message,
                              const UploadContent& content, std::string_view evaluation,
                              const job::Iteration& iteration);

}  // namespace msfl::rounds
