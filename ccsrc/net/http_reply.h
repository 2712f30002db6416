// The header block of an answer, and the answers that the server gives by itself.
#pragma once

#include <cstddef>
#include <ctime>
#include <string>
#include <string_view>

#include "net/http_message.h"

namespace msfl::net {

// The Date header's value, made once a second. One for each loop.
class HttpDate {
 public:
  std::string_view Now();

 private:
  std::time_t second_ = 0;
  std::string text_;
};

enum class HttpConnection { kUnsaid, kKeepAlive, kClose };

// Replaces `out` by status line, headers and the empty line.
void WriteHttpHeader(std::string& out, const HttpReply& reply, std::string_view date,
                     HttpConnection connection);

// {"code":"1","error_message":"<text>"} with status 500. `status_text` is a literal.
HttpReply ErrorReply(std::string_view text, std::string_view status_text = {});
// The answer to a body that is empty or too long.
HttpReply BadBodyReply();
// A small HTML page.
HttpReply PageReply(unsigned status);

}  // namespace msfl::net
