// Structured log: one line an event. The level comes from GLOG_v (0 debug, 1 info, 2 warning, 3 error;
// default 2). Lines go to a sink; without one, to stderr. The Python layer installs a sink, so that a process
// has one log.
#pragma once

#include <functional>
#include <new>
#include <sstream>
#include <string>
#include <string_view>

namespace msfl {

enum class LogLevel { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };

struct LogLine {
  LogLevel level;
  std::string_view file;  // base name
  int line;
  // One line of valid UTF-8: control characters, and bytes that are no UTF-8, stand as \n or \x1b.
  std::string text;
};

// Thread-safe. The sink is called on the logging thread and must not block. An empty sink restores stderr.
void SetLogSink(std::function<void(const LogLine&)> sink);
bool LogEnabled(LogLevel level);
void SetLogLevel(LogLevel least);  // in place of GLOG_v
void WriteLog(LogLevel level, const char* file, int line, std::string text);

}  // namespace msfl

// MSFL_LOG(kInfo, "iteration " << n << " is valid");
// A line for which there is no memory is dropped, since it often tells of just that.
#define MSFL_LOG(level_, stream_)                                                                 \
  do {                                                                                            \
    if (!::msfl::LogEnabled(::msfl::LogLevel::level_)) break;                                     \
    try {                                                                                         \
      std::ostringstream msfl_log_;                                                               \
      msfl_log_ << stream_;                                                                       \
      ::msfl::WriteLog(::msfl::LogLevel::level_, __FILE__, __LINE__, std::move(msfl_log_).str()); \
    } catch (const std::bad_alloc&) {                                                             \
    }                                                                                             \
  } while (false)
