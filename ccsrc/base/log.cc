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

// The code point that begins at `at` and how many bytes it has; 0 bytes if that is not UTF-8 (which includes
// longer forms than needed, surrogates and everything beyond U+10FFFF).
struct CodePoint {
  std::uint32_t value = 0;
  std::size_t bytes = 0;
};

CodePoint Decode(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() - at < bytes) return {};
  std::uint32_t value = lead & (0x7FU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3FU);
  }
  static constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kLeast[bytes] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return {};
  return {value, bytes};
}

// What ends a line, moves the cursor or turns the direction of the text, in a terminal or to a reader of
// lines.
bool IsControl(std::uint32_t value) {
  return value < 0x20 || (value >= 0x7F && value < 0xA0) || (value >= 0x200E && value <= 0x200F) ||
         (value >= 0x2028 && value <= 0x202E) || (value >= 0x2066 && value <= 0x2069) || value == 0xFEFF;
}

// Texts of strangers are part of lines: an `fl_id` must not be able to write a line of its own, nor bytes
// that a reader of UTF-8 stumbles over.
std::string OneLine(std::string text) {
  static constexpr char kHex[] = "0123456789abcdef";
  const auto plain = [](char c) { return c >= 0x20 && c < 0x7F; };
  if (std::all_of(text.begin(), text.end(), plain)) return text;
  std::string out;
  out.reserve(text.size() + 16);
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = Decode(text, at);
    const std::size_t bytes = std::max<std::size_t>(point.bytes, 1);
    if (point.bytes > 0 && !IsControl(point.value)) {
      out.append(text, at, bytes);
    } else if (text[at] == '\n') {
      out += "\\n";
    } else {
      for (std::size_t i = at; i < at + bytes; ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
      }
    }
    at += bytes;
  }
  return out;
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
  out += line.text;
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
  const LogLine entry{level, name, line, OneLine(std::move(text))};
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
