// The evaluation items of an upload as the one vector that is kept of them (rounds.md, section 14).
#pragma once

#include <cstdint>
#include <string>

#include "rounds/wire_format.h"

namespace msfl::rounds {

inline constexpr std::uint32_t kMaxEvaluationFloats = 65'536;

// All `eval_data` one after the other, float32 little-endian; empty if there is none or it is beyond
// kMaxEvaluationFloats. The items are well-formed.
std::string EvaluationVector(const schema::RequestUpdateModel& message);

}  // namespace msfl::rounds
