#include "strict_http.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

namespace msfl::fuzz {
namespace {

using End = StrictStream::End;
using Field = std::pair<std::string, std::string>;  // name in lower case, value without white space around

constexpr std::string_view kLine = "\r\n";

bool IsTokenChar(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         (c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos);
}
bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}
bool IsControl(char c) {
  const auto code = static_cast<unsigned char>(c);
  return (code < 0x20 && c != '\t') || code == 0x7F;
}
bool IsPlain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("/_-. ,:").find(c) != std::string_view::npos;
  });
}

std::string_view Trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

std::vector<std::string> List(std::string_view text) {
  std::vector<std::string> items;
  while (true) {
    const std::size_t comma = text.find(',');
    items.push_back(Lower(Trim(text.substr(0, comma))));
    if (comma == std::string_view::npos) return items;
    text.remove_prefix(comma + 1);
  }
}

std::optional<unsigned long long> Number(std::string_view text, unsigned base) {
  unsigned long long number = 0;
  if (text.empty()) return std::nullopt;
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    const unsigned digit = std::isdigit(code) != 0    ? code - unsigned{'0'}
                           : std::isxdigit(code) != 0 ? static_cast<unsigned>(std::tolower(code)) - 'a' + 10
                                                      : 99;
    if (digit >= base || number > (~0ULL - digit) / base) return std::nullopt;
    number = number * base + digit;
  }
  return number;
}

class Reader {
 public:
  explicit Reader(std::string_view input) : left_(input) {}

  StrictStream Read() {
    StrictStream stream;
    while (true) {
      const std::size_t empty = std::min(left_.find_first_not_of("\r\n"), left_.size());
      left_.remove_prefix(empty);
      if (left_.empty()) return stream;
      StrictRequest request;
      if (const auto fault = One(request)) {
        stream.end = *fault;
        return stream;
      }
      if (empty > 2) request.plain = false;
      stream.requests.push_back(request);
      if (request.last) return stream;
    }
  }

 private:
  // The line up to its end, which is CR LF and nothing else.
  std::optional<End> Line(std::string_view& line) {
    const std::size_t end = left_.find_first_of(kLine);
    if (end == std::string_view::npos || (left_[end] == '\r' && end + 1 == left_.size())) return End::kCut;
    if (left_.substr(end, 2) != kLine) return End::kRefused;
    line = left_.substr(0, end);
    left_.remove_prefix(end + 2);
    return std::nullopt;
  }

  std::optional<End> Fields(std::vector<Field>& fields) {
    while (true) {
      std::string_view line;
      if (const auto fault = Line(line)) return fault;
      if (line.empty()) return std::nullopt;
      const std::size_t colon = line.find(':');
      if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) return End::kRefused;
      const std::string_view value = Trim(line.substr(colon + 1));
      if (std::any_of(value.begin(), value.end(), IsControl)) return End::kRefused;
      fields.emplace_back(Lower(line.substr(0, colon)), value);
    }
  }

  std::optional<End> Bytes(unsigned long long size, std::string& into) {
    if (size > left_.size()) return End::kCut;
    into += left_.substr(0, size);
    left_.remove_prefix(size);
    return std::nullopt;
  }

  std::optional<End> Chunks(StrictRequest& request) {
    while (true) {
      std::string_view line;
      if (const auto fault = Line(line)) return fault;
      const std::size_t extension = std::min(line.find_first_of("; \t"), line.size());
      const auto size = Number(line.substr(0, extension), 16);
      if (!size || std::any_of(line.begin(), line.end(), IsControl)) return End::kRefused;
      if (extension < line.size() && Trim(line.substr(extension)).substr(0, 1) != ";") return End::kRefused;
      if (extension < line.size()) request.plain = false;
      if (*size == 0) {
        std::vector<Field> trailers;
        const auto fault = Fields(trailers);
        if (!trailers.empty()) request.plain = false;
        return fault;
      }
      if (const auto fault = Bytes(*size, request.body)) return fault;
      if (left_.size() < 2) return kLine.starts_with(left_) ? End::kCut : End::kRefused;
      if (!left_.starts_with(kLine)) return End::kRefused;
      left_.remove_prefix(2);
    }
  }

  std::optional<End> One(StrictRequest& request) {
    const std::size_t before = left_.size();
    std::string_view line;
    if (const auto fault = Line(line)) return fault;
    const std::size_t first = line.find(' '), second = line.rfind(' ');
    if (first == second) return End::kRefused;
    const std::string_view method = line.substr(0, first),
                           target = line.substr(first + 1, second - first - 1),
                           version = line.substr(second + 1);
    const auto is_space_or_control = [](char c) { return c == ' ' || c == '\t' || IsControl(c); };
    if (!IsToken(method) || target.empty() || (version != "HTTP/1.1" && version != "HTTP/1.0") ||
        std::any_of(target.begin(), target.end(), is_space_or_control)) {
      return End::kRefused;
    }
    request.method = method;
    std::string_view path = target;
    if (path.starts_with("http://")) {
      const std::size_t slash = path.find('/', 7);
      path = slash == std::string_view::npos ? "/" : path.substr(slash);
    }
    request.path = path.substr(0, path.find('?'));
    request.plain = version == "HTTP/1.1" && IsPlain(target) && target.starts_with("/");

    std::vector<Field> fields;
    if (const auto fault = Fields(fields)) return fault;
    request.header_bytes = before - left_.size();
    bool has_length = false, keeps = version == "HTTP/1.1", closes = false;
    for (const auto& [name, value] : fields) {
      if (!IsPlain(value) || fields.size() > 10) request.plain = false;
      if (name == "content-length") {
        for (const std::string& item : List(value)) {
          const auto length = Number(item, 10);
          if (!length || (has_length && *length != request.declared)) return End::kRefused;
          request.declared = *length;
          if (has_length) request.plain = false;
          has_length = true;
        }
      } else if (name == "transfer-encoding") {
        if (request.chunked || Lower(value) != "chunked") return End::kRefused;
        request.chunked = true;
      } else if (name == "connection" || name == "proxy-connection") {
        for (const std::string& option : List(value)) {
          if (option == "close") closes = true;
          if (option == "keep-alive") keeps = true;
          if (!IsToken(option)) request.plain = false;
        }
      } else if (name == "expect") {
        request.expects_unknown = Lower(value) != "100-continue";
        request.expects = true;
      } else if (name == "upgrade") {
        request.plain = false;
      }
    }
    if (request.chunked && (has_length || version == "HTTP/1.0")) return End::kRefused;
    request.last = closes || !keeps;
    return request.chunked ? Chunks(request) : Bytes(request.declared, request.body);
  }

  std::string_view left_;
};

}  // namespace

StrictStream ReadStrictly(std::string_view input) { return Reader(input).Read(); }

}  // namespace msfl::fuzz
