// The header of one request, and chunked bodies, parsed by Beast without an allocation: method and target are
// views into the input, of the fields only those are kept that steer the connection.
#pragma once

#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

#include "net/stream.h"

namespace msfl::net {

class HttpRequestParser : public boost::beast::http::basic_parser<true> {
 public:
  using Verb = boost::beast::http::verb;
  enum class Expect { kNothing, kContinue, kUnknown };

  explicit HttpRequestParser(std::size_t max_header_bytes) {
    header_limit(static_cast<std::uint32_t>(max_header_bytes));
    body_limit(boost::none);  // the session compares, because it answers in words of its own
  }

  Verb verb() const { return verb_; }
  std::string_view method() const { return method_; }
  std::string_view target() const { return target_; }
  int version() const { return version_; }
  Expect expect() const { return expect_; }

  // The input that the views point into has moved.
  void Rebase(const char* old_base, const char* new_base) {
    if (method_.empty()) return;
    method_ = {new_base + (method_.data() - old_base), method_.size()};
    target_ = {new_base + (target_.data() - old_base), target_.size()};
  }

  // Takes the pieces of a chunked body and returns how many bytes it took. If that is not all, put() ends
  // with http::error::need_buffer, and goes on there the next time.
  std::function<std::size_t(std::string_view)> on_chunk;
  // How much more a chunked body may have. A chunk that announces more ends put() with
  // http::error::body_limit.
  std::uint64_t body_bytes_left = 0;

 private:
  using Code = boost::beast::error_code;
  using View = boost::beast::string_view;

  void on_request_impl(Verb verb, View method, View target, int version, Code&) override {
    verb_ = verb;
    method_ = {method.data(), method.size()};
    target_ = {target.data(), target.size()};
    version_ = version;
  }
  void on_response_impl(int, View, int, Code&) override {}
  void on_field_impl(boost::beast::http::field name, View text, View value, Code& ec) override {
    namespace http = boost::beast::http;
    if (IsFolded(text, value)) {
      // Not every proxy unfolds: it may have read another request.
      ec = http::error::bad_obs_fold;
      return;
    }
    if (is_header_done()) return;  // a trailer steers nothing
    if (name == http::field::expect) {
      expect_ = boost::beast::iequals(value, "100-continue") ? Expect::kContinue : Expect::kUnknown;
    } else if (name == http::field::transfer_encoding && !boost::beast::iequals(value, "chunked")) {
      ec = http::error::bad_transfer_encoding;  // where such a body ends is anybody's guess
    } else if (name == http::field::content_length &&
               (std::exchange(has_length_, true) || value.find(',') != View::npos)) {
      ec = http::error::multiple_content_length;  // nor twice the same: another reader may see but one
    }
  }
  void on_header_impl(Code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Code&) override {}
  std::size_t on_body_impl(View body, Code&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t size, View, Code& ec) override {
    if (size > body_bytes_left) ec = boost::beast::http::error::body_limit;
  }
  std::size_t on_chunk_body_impl(std::uint64_t, View body, Code& ec) override {
    const std::size_t taken = on_chunk({body.data(), body.size()});
    if (taken < body.size()) ec = boost::beast::http::error::need_buffer;
    return taken;
  }
  void on_finish_impl(Code&) override {}

  // Beast puts a value of several lines together elsewhere, or begins it in a line after its name's.
  static bool IsFolded(View name, View value) {
    const char* begin = name.data() + name.size() + 1;  // after the colon; no line is endless
    while (*begin == ' ' || *begin == '\t') ++begin;
    return value.data() != begin;
  }

  bool has_length_ = false;
  Verb verb_ = Verb::unknown;
  std::string_view method_, target_;
  int version_ = 11;
  Expect expect_ = Expect::kNothing;
};

}  // namespace msfl::net
