// A verdict is read from what a script answers, and from nothing else.
#include <gtest/gtest.h>

#include "cache/job_store_impl.h"

namespace msfl::cache {
namespace {

RedisValue Integer(std::int64_t number) {
  RedisValue value;
  value.kind = RedisValue::Kind::kInteger;
  value.integer = number;
  return value;
}

RedisValue Answer(std::vector<RedisValue> items) {
  RedisValue value;
  value.kind = RedisValue::Kind::kArray;
  value.array = std::move(items);
  return value;
}

Result<JoinVerdict> Read(const RedisValue& value) {
  return ReadVerdict(Items(value), JoinVerdict::kAlreadyJoined);
}

TEST(Verdict, IsTheFirstItem) {
  EXPECT_EQ(Read(Answer({Integer(0)})).value(), JoinVerdict::kAccepted);
  EXPECT_EQ(Read(Answer({Integer(4), Integer(7)})).value(), JoinVerdict::kAlreadyJoined);
}

TEST(Verdict, NothingElsePassesForAcceptance) {
  RedisValue text;
  text.kind = RedisValue::Kind::kText;
  text.text = "OK";
  const RedisValue wrong[] = {RedisValue(),
                              text,
                              Integer(0),
                              Answer({}),
                              Answer({RedisValue()}),
                              Answer({text}),
                              Answer({Integer(-1)}),
                              Answer({Integer(5)}),
                              Answer({Answer({Integer(0)})})};
  for (const RedisValue& value : wrong) {
    const Result<JoinVerdict> verdict = Read(value);
    ASSERT_TRUE(verdict.has_error());
    EXPECT_EQ(verdict.error().code, Errc::kCacheUnavailable);
  }
}

}  // namespace
}  // namespace msfl::cache
