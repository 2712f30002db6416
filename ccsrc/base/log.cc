#include "base/log.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>

#include "base/clock.h"

namespace msfl {
namespace {

using Sink = std::function<void(const LogLine&)>;

struct SinkHolder {
  std::mutex mutex;
  std::shared_ptr<const Sink> sink;
};

// Never destroyed: threads may log while the process ends.
SinkHolder& Holder() {
  static auto* holder = new SinkHolder;
  return *holder;
}

int LevelFromEnvironment() {
  const char* text = std::getenv("GLOG_v");
  if (text == nullptr || text[0] < '0' || text[0] > '3' || text[1] != '\0')
    return static_cast<int>(LogLevel::kWarning);
  return text[0] - '0';
}

std::atomic<int>& LeastLevel() {
  static std::atomic<int> level = LevelFromEnvironment();
  return level;
}

void WriteToStderr(const LogLine& line) {
  static constexpr char kLetters[] = {'D', 'I', 'W', 'E'};
  std::string out;
  out.reserve(line.text.size() + 96);
  out += kLetters[static_cast<int>(line.level)];
  out += ' ';
  out += NameTime();
  out += ' ';
  out += line.file;
  out += ':';
  out += std::to_string(line.line);
  out += "] ";
  for (const char c : line.text) {
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  out += '\n';
  // One call for a line, so that lines of several threads don't mix. Nobody could be told of a failure.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, out.data(), out.size());
}

}  // namespace

void SetLogSink(std::function<void(const LogLine&)> sink) {
  auto shared = sink ? std::make_shared<const Sink>(std::move(sink)) : nullptr;
  const std::lock_guard lock(Holder().mutex);
  Holder().sink.swap(shared);
}

bool LogEnabled(LogLevel level) { return static_cast<int>(level) >= LeastLevel(); }

void SetLogLevel(LogLevel least) { LeastLevel() = static_cast<int>(least); }

void WriteLog(LogLevel level, const char* file, int line, std::string text) {
  std::string_view name(file);
  name.remove_prefix(std::min(name.size(), name.rfind('/') + 1));
  const LogLine entry{level, name, line, std::move(text)};
  std::shared_ptr<const Sink> sink;
  {
    const std::lock_guard lock(Holder().mutex);
    sink = Holder().sink;
  }
  if (sink) {
    (*sink)(entry);
  } else {
    WriteToStderr(entry);
  }
}

}  // namespace msfl
