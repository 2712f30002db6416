// Redis' replies out of bytes: hiredis' parser, which builds our values without a copy in between, and limits
// on what it accepts.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "cache/redis_client.h"

struct redisReader;
struct redisReadTask;

namespace msfl::cache {

struct Reply {
  RedisValue value;  // an error's text is in value.text
  bool error = false;
};

class ReplyReader {
 public:
  static constexpr std::size_t kMaxReplyBytes = 512U << 20;  // Redis' own limit of a value
  static constexpr int kMaxElements = 4'000'000;             // of all arrays of a reply

  ReplyReader();
  ~ReplyReader();
  ReplyReader(const ReplyReader&) = delete;
  ReplyReader& operator=(const ReplyReader&) = delete;

  enum class Step { kReply, kNeedsMore, kBroken };
  void Feed(const char* bytes, std::size_t size);
  Step Next(Reply& reply);
  // Why it is broken.
  const std::string& fault() const { return fault_; }

 private:
  struct Functions;
  RedisValue& Slot(const redisReadTask* task);

  redisReader* reader_;
  Reply building_;
  int elements_ = 0;        // of building_'s arrays, as their heads say
  std::size_t unread_ = 0;  // bytes since the last whole reply
  std::string fault_;
};

}  // namespace msfl::cache
