#include "load/tally.h"

namespace msfl::load {

namespace {

constexpr std::size_t kMaxCauses = 100;

}  // namespace

void Causes::Add(const std::string& cause) {
  const auto found = counts.find(cause);
  if (found != counts.end()) {
    ++found->second;
  } else {
    ++counts[counts.size() < kMaxCauses ? cause : "other causes"];
  }
}

void Tally::NoteAnswer(Round round, const Answer& answer, Clock::duration latency) {
  RoundTally& tally = rounds[Index(round)];
  const std::string name = kRoundNames[Index(round)];
  switch (answer.verdict) {
    case Verdict::kAccepted:
      ++tally.accepted;
      tally.accepted_latency.Add(latency);
      break;
    case Verdict::kNotReady:
      ++tally.not_ready;
      break;
    case Verdict::kRefused:
    case Verdict::kSafemode:
    case Verdict::kOver:
      ++tally.refused;
      tally.refused_latency.Add(latency);
      refusals.Add(name + ": " + answer.cause);
      break;
    case Verdict::kError:
      ++tally.failed;
      errors.Add(name + ": " + answer.cause);
      break;
  }
}

void Tally::NoteBroken(Round round, const std::string& cause) {
  ++rounds[Index(round)].failed;
  errors.Add(std::string(kRoundNames[Index(round)]) + ": " + cause);
}

const char* EndingName(Ending ending) {
  switch (ending) {
    case Ending::kDone:
      return "done";
    case Ending::kJobOver:
      return "job_over";
    case Ending::kInterrupted:
      return "interrupted";
    case Ending::kNobody:
      return "no_connection";
    case Ending::kErrors:
      return "only_errors";
    case Ending::kFull:
      return "round_full";
    case Ending::kNotReady:
      return "not_ready";
    case Ending::kSilent:
      return "no_answer";
    case Ending::kNoModel:
      return "no_model";
  }
  return "";
}

}  // namespace msfl::load
