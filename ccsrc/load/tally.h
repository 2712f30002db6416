// What a run counts.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "load/answer.h"
#include "load/latency_histogram.h"
#include "load/load_options.h"

namespace msfl::load {

struct RoundTally {
  std::uint64_t accepted = 0, refused = 0, not_ready = 0, failed = 0;
  std::uint64_t bytes_sent = 0, bytes_received = 0;  // of whole requests and answers, with their headers
  LatencyHistogram accepted_latency, refused_latency;
  double seconds = 0, server_cpu_seconds = 0;  // closed loop: of the phases that belong to this round alone
};

struct Causes {
  // Whatever a Server says, at most 100 causes are told apart.
  void Add(const std::string& cause);
  std::map<std::string, std::uint64_t> counts;
};

struct Tally {
  std::array<RoundTally, kRounds> rounds;
  LatencyHistogram connect_latency;
  Causes refusals, errors;
  std::uint64_t connections_opened = 0;

  // What came of one exchange. A text like "in safemode" counts as a refusal.
  void NoteAnswer(Round round, const Answer& answer, Clock::duration latency);
  void NoteBroken(Round round, const std::string& cause);
};

// How a run came to its end.
enum class Ending : std::uint8_t {
  kDone,         // all iterations, or the time is over
  kJobOver,      // the job is disabled or finished
  kInterrupted,  // by the caller
  kNobody,       // no connection could be opened
  kErrors,       // an iteration brought nothing but errors
  kFull,         // no progress: the round stays full
  kNotReady,     // no progress: the iteration is not over, or the Servers are in safemode
  kSilent,       // no progress: no answers
  kNoModel,      // startFLJob was answered without a usable model
};
const char* EndingName(Ending ending);

struct LoadReport {
  Ending ending = Ending::kDone;
  std::string detail;  // for people; empty with kDone
  Tally tally;
  std::uint64_t iterations = 0;   // closed loop: passes of all devices
  std::uint64_t arrivals = 0;     // devices that began
  std::uint64_t unanswered = 0;   // requests that were due or under way at the end
  std::vector<double> switch_ms;  // closed loop: last updateModel answered -> first model or result
  double switch_server_cpu_seconds = 0;
  double seconds = 0;                // without the opening of connections
  double generator_cpu_seconds = 0;  // of this thread, in these seconds
  double server_cpu_seconds = 0;     // of all processes named, in these seconds
  std::uint64_t idle_connections = 0, idle_lost = 0;
  std::uint64_t model_bytes = 0;
};

}  // namespace msfl::load
