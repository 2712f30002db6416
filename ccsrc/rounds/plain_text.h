// Answers in plain text, which devices compare literally (wire.md, section 3).
#pragma once

#include <string_view>

#include "net/http_message.h"

namespace msfl::rounds {

inline constexpr std::string_view kSafemodeText = "The cluster is in safemode.";
// Devices end their whole job on this one, so it is said only when the job really is disabled, finished or
// stopped.
inline constexpr std::string_view kDisabledText = "The server's training job is disabled or finished.";
inline constexpr std::string_view kInnerErrorText = "An inner error occurred";
inline constexpr std::string_view kStartFieldsText = "Verify flatbuffers schema failed for RequestFLJob.";

inline net::HttpReply PlainText(std::string_view text) {
  net::HttpReply reply;
  reply.head.assign(text.begin(), text.end());
  return reply;
}

}  // namespace msfl::rounds
