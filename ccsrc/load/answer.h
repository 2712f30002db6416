// What a device reads of an answer. The bytes come from anybody: nothing is believed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "load/load_options.h"

namespace msfl::load {

inline constexpr std::uint64_t kMaxAnswerBytes = (std::uint64_t{1} << 31) - 2;  // of a FlatBuffers message

struct AnswerHeader {
  std::size_t bytes = 0;  // with the empty line
  int status = 0;
  std::uint64_t body_bytes = 0;
  bool closes = false;  // the Server ends the connection after it
};

// Nothing while the empty line is missing. `fault` says what is wrong, and stays empty otherwise.
std::optional<AnswerHeader> ParseHeader(std::string_view received, std::string& fault);

enum class Verdict : std::uint8_t {
  kAccepted,  // 200
  kNotReady,  // 201
  kRefused,   // 300
  kSafemode,  // text: the Server is switching
  kOver,      // text: the job is disabled or finished
  kError,     // 400, 500, an HTTP status, or nothing that a Server says
};

struct Answer {
  Verdict verdict = Verdict::kError;
  std::int32_t iteration = 0;      // startFLJob: 1 or more if accepted; updateModel has none
  std::int64_t next_req_time = 0;  // Unix ms; 0 if there is none
  std::string cause;  // of everything but kAccepted and kNotReady, with its numbers folded into #
};

// `start` is as much of the body as is there: its root table, which stands in front, has to be in it.
Answer ReadAnswer(Round round, int status, std::span<const std::uint8_t> start);

// Each number becomes one #, what can't be printed a ?; at most 200 bytes: causes can be counted.
std::string FoldCause(std::string_view text);

}  // namespace msfl::load
