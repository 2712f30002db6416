#include "net/http_reply.h"

#include <boost/beast/http/status.hpp>
#include <charconv>
#include <cstdio>

namespace msfl::net {
namespace {

std::string_view UsualText(unsigned status) {
  const auto text = boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  return {text.data(), text.size()};
}

void AppendNumber(std::string& out, std::uint64_t number) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, end);
}

void AppendJsonEscaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (code < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", code);
      out += escape;
    } else {
      out += c;
    }
  }
}

void SetBody(HttpReply& reply, std::string_view body) { reply.head.assign(body.begin(), body.end()); }

}  // namespace

std::string_view HttpDate::Now() {
  const std::time_t second = std::time(nullptr);
  if (second != second_ || text_.empty()) {
    // Not strftime: names of days and months must not follow the locale.
    static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm utc{};
    ::gmtime_r(&second, &utc);
    char text[64];
    std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[utc.tm_wday], utc.tm_mday,
                  kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
    text_ = text;
    second_ = second;
  }
  return text_;
}

void WriteHttpHeader(std::string& out, const HttpReply& reply, std::string_view date,
                     HttpConnection connection) {
  using std::string_view_literals::operator""sv;
  if (reply.status == 200 && reply.status_text.empty()) {
    out = "HTTP/1.1 200 OK\r\n"sv;
  } else {
    out = "HTTP/1.1 "sv;
    AppendNumber(out, reply.status);
    out += ' ';
    out += reply.status_text.empty() ? UsualText(reply.status) : reply.status_text;
    out += "\r\n"sv;
  }
  if (!reply.content_type.empty()) {
    out += "Content-Type: "sv;
    out += reply.content_type;
    out += "\r\n"sv;
  }
  out += "Content-Length: "sv;
  AppendNumber(out, reply.head.size() + reply.tail.size());
  out += "\r\nDate: "sv;
  out += date;
  switch (connection) {
    case HttpConnection::kUnsaid:
      out += "\r\n\r\n"sv;
      break;
    case HttpConnection::kKeepAlive:
      out += "\r\nConnection: keep-alive\r\n\r\n"sv;
      break;
    case HttpConnection::kClose:
      out += "\r\nConnection: close\r\n\r\n"sv;
      break;
  }
}

HttpReply ErrorReply(std::string_view text, std::string_view status_text) {
  std::string body = R"({"code":"1","error_message":")";
  AppendJsonEscaped(body, text);
  body += "\"}";
  HttpReply reply;
  reply.status = 500;
  reply.status_text = status_text;
  reply.content_type = {};
  SetBody(reply, body);
  return reply;
}

HttpReply BadBodyReply() { return ErrorReply("Get post message failed", "Client"); }

HttpReply PageReply(unsigned status) {
  const std::string text(UsualText(status));
  const std::string title = std::to_string(status) + " " + text;
  HttpReply reply;
  reply.status = status;
  SetBody(reply,
          "<html><head><title>" + title + "</title></head><body><h1>" + text + "</h1></body></html>\n");
  return reply;
}

}  // namespace msfl::net
