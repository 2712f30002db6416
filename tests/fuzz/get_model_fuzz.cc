// getModel and getResult, which differ in the answer only: the body of one request, asked in the first
// iteration and in a later one.
#include "served_rounds.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using msfl::fuzz::ServedRounds;
  static auto* const served = new ServedRounds(msfl::fuzz::RoundRules());
  served->Begin(false);
  for (const char* round : {"getModel", "getResult"}) served->Ask(round, {data, size});
  for (int i = 0; i < 4; ++i) served->EndIterationAsFailed();
  for (const char* round : {"getModel", "getResult"}) served->Ask(round, {data, size});
  return 0;
}
