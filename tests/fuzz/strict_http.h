// HTTP/1.1 requests as RFC 9112 has them, read a second time: what is ambiguous there is refused here. Shares
// no line with Beast and the session.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace msfl::fuzz {

struct StrictRequest {
  std::string method, path, body;
  bool chunked = false;
  unsigned long long declared = 0;  // Content-Length, 0 without
  bool expects = false, expects_unknown = false;
  bool last = false;   // the connection ends after it
  bool plain = false;  // nothing unusual about it: there is no reason to refuse it
  std::size_t header_bytes = 0;
};

struct StrictStream {
  enum class End { kClean, kCut, kRefused };
  std::vector<StrictRequest> requests;  // whole ones
  End end = End::kClean;                // what comes after them
};

StrictStream ReadStrictly(std::string_view input);

}  // namespace msfl::fuzz
