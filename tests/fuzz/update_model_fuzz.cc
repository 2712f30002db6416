// updateModel: the body of one upload; the same again, which must be refused.
#include "served_rounds.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using msfl::fuzz::ServedRounds;
  static auto* const served = new ServedRounds(msfl::fuzz::RoundRules());
  served->Begin(true);
  served->Ask("updateModel", {data, size});
  if (msfl::fuzz::Cache().counted > 0) served->Ask("updateModel", {data, size});
  return 0;
}
