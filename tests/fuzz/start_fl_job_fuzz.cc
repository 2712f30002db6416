// startFLJob: the body of one request; the same again, which must not count twice.
#include "served_rounds.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using msfl::fuzz::ServedRounds;
  static auto* const served = new ServedRounds(msfl::fuzz::RoundRules());
  served->Begin(false);
  served->Ask("startFLJob", {data, size});
  if (msfl::fuzz::Cache().started > 0) served->Ask("startFLJob", {data, size});
  return 0;
}
