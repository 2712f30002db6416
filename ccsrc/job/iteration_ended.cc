#include "job/iteration_ended.h"

#include <array>
#include <charconv>
#include <sstream>

namespace msfl::job {
namespace {

template <class Number>
void Append(std::string& text, const std::string& name, Number number) {
  std::array<char, 32> digits{};  // a double's shortest form that reads back to it has at most 24
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  text += name + ' ' + std::string(digits.data(), end) + '\n';
}

template <class Number>
Number Read(const std::string& text) {
  Number number{};
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

constexpr char kVisits[] = "visits.";

}  // namespace

std::string EncodeSummary(const IterationEnded& ended) {
  std::string text;
  Append(text, "started_ms", ended.started_ms);
  Append(text, "loss", ended.metric_sums.loss);
  Append(text, "accuracy", ended.metric_sums.accuracy);
  Append(text, "data_size", ended.metric_sums.data_size);
  Append(text, "eval_data_size", ended.metric_sums.eval_data_size);
  for (const auto& [name, count] : ended.visits) Append(text, kVisits + name, count);
  return text;
}

void AddSummary(IterationEnded& ended, const std::string& text) {
  std::istringstream lines(text);
  std::string name, value;
  while (lines >> name >> value) {
    if (name == "started_ms") {
      const auto started = Read<std::int64_t>(value);
      if (started != 0 && (ended.started_ms == 0 || started < ended.started_ms)) ended.started_ms = started;
    } else if (name == "loss") {
      ended.metric_sums.loss += Read<double>(value);
    } else if (name == "accuracy") {
      ended.metric_sums.accuracy += Read<double>(value);
    } else if (name == "data_size") {
      ended.metric_sums.data_size += Read<std::uint64_t>(value);
    } else if (name == "eval_data_size") {
      ended.metric_sums.eval_data_size += Read<std::uint64_t>(value);
    } else if (name.starts_with(kVisits)) {
      ended.visits[name.substr(sizeof kVisits - 1)] += Read<std::uint64_t>(value);
    }
  }
}

}  // namespace msfl::job
