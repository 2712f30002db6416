#include "load/answer.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace msfl::load {

namespace {

constexpr std::string_view kSafemode = "The cluster is in safemode.";
constexpr std::string_view kNotReady = "The server's training job is not ready.";
constexpr std::string_view kOver = "The server's training job is disabled or finished.";

char Lower(char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter; }

bool EqualsIgnoringCase(std::string_view text, std::string_view lower) {
  return std::ranges::equal(text, lower, {}, Lower);
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

template <class Number>
bool ParseNumber(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// The root table of a message of which only the start may be there. FlatBuffers' own accessors and verifier
// want an aligned and complete message.
class RootTable {
 public:
  explicit RootTable(std::span<const std::uint8_t> bytes) : bytes_(bytes) {
    const auto root = Read<std::uint32_t>(0);
    if (!root || *root < 4) return;
    const auto to_vtable = Read<std::int32_t>(*root);
    if (!to_vtable) return;
    const std::int64_t vtable = static_cast<std::int64_t>(*root) - *to_vtable;
    if (vtable < 4) return;
    const auto size = Read<std::uint16_t>(static_cast<std::uint64_t>(vtable));
    if (!size || *size < 4 || *size % 2 != 0) return;
    root_ = *root;
    vtable_ = static_cast<std::uint64_t>(vtable);
    vtable_bytes_ = *size;
  }

  bool valid() const { return vtable_bytes_ != 0; }

  std::optional<std::int32_t> Int(unsigned field) const {
    const auto at = At(field);
    return at ? Read<std::int32_t>(*at) : std::nullopt;
  }

  // Nothing as well if it lies behind the bytes that are there.
  std::optional<std::string_view> Text(unsigned field) const {
    const auto at = At(field);
    const auto offset = at ? Read<std::uint32_t>(*at) : std::nullopt;
    if (!offset) return std::nullopt;
    const std::uint64_t text = *at + *offset;
    const auto size = Read<std::uint32_t>(text);
    if (!size || text + 4 + *size > bytes_.size()) return std::nullopt;
    return std::string_view(reinterpret_cast<const char*>(bytes_.data() + text + 4), *size);
  }

 private:
  std::optional<std::uint64_t> At(unsigned field) const {
    const unsigned entry = 4 + 2 * field;
    if (entry + 2 > vtable_bytes_) return std::nullopt;
    const auto offset = Read<std::uint16_t>(vtable_ + entry);
    if (!offset || *offset == 0) return std::nullopt;
    return root_ + *offset;
  }

  template <class Number>
  std::optional<Number> Read(std::uint64_t at) const {
    if (at + sizeof(Number) > bytes_.size()) return std::nullopt;
    Number number;
    std::memcpy(&number, bytes_.data() + at, sizeof number);
    return number;
  }

  std::span<const std::uint8_t> bytes_;
  std::uint64_t root_ = 0, vtable_ = 0;
  unsigned vtable_bytes_ = 0;
};

// Fields by their place in schema/fl_job.fbs. All four answers begin with retcode and reason.
constexpr unsigned kRetcode = 0, kReason = 1, kIteration = 2;
constexpr unsigned NextReqTimeField(Round round) {
  return round == Round::kStartFlJob || round == Round::kGetModel ? 4 : 3;
}

Answer ReadText(std::string_view text) {
  Answer answer;
  if (text.size() <= 512) {
    const auto says = [&](std::string_view words) { return text.find(words) != std::string_view::npos; };
    if (says(kSafemode) || says(kNotReady)) answer.verdict = Verdict::kSafemode;
    if (says(kOver)) answer.verdict = Verdict::kOver;
  }
  answer.cause = text.empty() ? "an empty answer" : FoldCause(text);
  return answer;
}

}  // namespace

std::optional<AnswerHeader> ParseHeader(std::string_view received, std::string& fault) {
  const std::size_t end = received.find("\r\n\r\n");
  if (!received.starts_with(std::string_view("HTTP/1.").substr(0, received.size()))) {
    fault = "the answer is no HTTP/1.x";
    return std::nullopt;
  }
  if (end == std::string_view::npos) return std::nullopt;
  AnswerHeader header;
  header.bytes = end + 4;
  received = received.substr(0, end + 2);
  std::size_t line_end = received.find("\r\n");
  // HTTP/1.1 200 OK
  if (line_end < 12 || received[8] != ' ' || !ParseNumber(received.substr(9, 3), header.status)) {
    fault = "the answer has no HTTP status";
    return std::nullopt;
  }
  header.closes = received[7] == '0';
  bool has_length = header.status == 204 || header.status == 304;
  for (std::size_t at = line_end + 2; at < received.size(); at = line_end + 2) {
    line_end = received.find("\r\n", at);
    const std::string_view line = received.substr(at, line_end - at);
    const std::size_t colon = std::min(line.find(':'), line.size());
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = Trim(line.substr(std::min(colon + 1, line.size())));
    if (EqualsIgnoringCase(name, "content-length")) {
      has_length = ParseNumber(value, header.body_bytes);
    } else if (EqualsIgnoringCase(name, "connection")) {
      header.closes =
          !EqualsIgnoringCase(value, "keep-alive") && (header.closes || EqualsIgnoringCase(value, "close"));
    }
  }
  if (!has_length) {
    fault = "the answer has no Content-Length (status " + std::to_string(header.status) + ")";
    return std::nullopt;
  }
  if (header.body_bytes > kMaxAnswerBytes) {
    fault = "the answer is longer than a message may be";
    return std::nullopt;
  }
  return header;
}

Answer ReadAnswer(Round round, int status, std::span<const std::uint8_t> start) {
  Answer answer;
  if (status != 200) {
    answer.cause = "HTTP " + std::to_string(status);
    return answer;
  }
  const RootTable table(start);
  const std::optional<std::int32_t> retcode = table.valid() ? table.Int(kRetcode) : std::nullopt;
  if (!retcode ||
      (*retcode != 200 && *retcode != 201 && *retcode != 300 && *retcode != 400 && *retcode != 500)) {
    return ReadText({reinterpret_cast<const char*>(start.data()), start.size()});
  }
  if (round != Round::kUpdateModel) answer.iteration = table.Int(kIteration).value_or(0);
  const std::string_view time = table.Text(NextReqTimeField(round)).value_or("");
  if (!ParseNumber(time, answer.next_req_time)) answer.next_req_time = 0;
  if (*retcode == 200 && round == Round::kStartFlJob && answer.iteration < 1) {
    answer.cause = "200 without an iteration";
  } else if (*retcode <= 201) {
    answer.verdict = *retcode == 200 ? Verdict::kAccepted : Verdict::kNotReady;
  } else {
    if (*retcode == 300) answer.verdict = Verdict::kRefused;
    answer.cause = std::to_string(*retcode) + " " + FoldCause(table.Text(kReason).value_or(""));
  }
  return answer;
}

std::string FoldCause(std::string_view text) {
  std::string folded;
  for (const char letter : text.substr(0, 200)) {
    if (letter >= '0' && letter <= '9') {
      if (folded.empty() || folded.back() != '#') folded += '#';
    } else {
      folded += letter >= 32 && letter < 127 ? letter : '?';
    }
  }
  return folded;
}

}  // namespace msfl::load
