#include "cache/whereabouts.h"

#include <gtest/gtest.h>

namespace msfl::cache {
namespace {

Whereabouts Of(const std::string& text) { return Whereabouts(RedisAddress::Parse(text).value()); }

void ExpectNext(const Whereabouts& where, const std::string& display, PlaceKind kind) {
  const Target target = where.Next();
  EXPECT_EQ(target.address.ForDisplay(), display);
  EXPECT_EQ(target.kind, kind);
}

TEST(Whereabouts, OnePlaceIsTriedForEver) {
  Whereabouts where = Of("redis://me:word@h:1/2");
  for (const bool not_yet : {true, false}) {
    ExpectNext(where, "h:1/2", PlaceKind::kRedis);
    EXPECT_EQ(where.Next().address.password, "word");
    const auto failure = where.Failed(not_yet);
    EXPECT_TRUE(failure.round_over);
    EXPECT_EQ(failure.not_yet, not_yet);
    where.Lost();
  }
}

TEST(Whereabouts, AUnixSocketStaysOne) {
  ExpectNext(Of("unix:/run/r.sock"), "unix:/run/r.sock", PlaceKind::kRedis);
}

TEST(Whereabouts, StartAddressesAreTriedInTurn) {
  Whereabouts where = Of("a:1,b:2,c:3");
  ExpectNext(where, "a:1", PlaceKind::kClusterNode);
  EXPECT_FALSE(where.Failed(true).round_over);
  ExpectNext(where, "b:2", PlaceKind::kClusterNode);
  EXPECT_FALSE(where.Failed(false).round_over);
  ExpectNext(where, "c:3", PlaceKind::kClusterNode);
  auto failure = where.Failed(false);
  EXPECT_TRUE(failure.round_over);
  EXPECT_TRUE(failure.not_yet);  // the first one may come up
  ExpectNext(where, "a:1", PlaceKind::kClusterNode);
  for (int i = 0; i < 3; ++i) failure = where.Failed(false);
  EXPECT_TRUE(failure.round_over);
  EXPECT_FALSE(failure.not_yet);
}

TEST(Whereabouts, AMovedJobIsFollowedAndRemembered) {
  Whereabouts where = Of("redis://me:word@a:1,b:2");
  EXPECT_TRUE(where.Moved(RedisPlace("c", 3)));
  ExpectNext(where, "c:3", PlaceKind::kRedis);
  EXPECT_EQ(where.Next().address.password, "word");
  where.Lost();
  ExpectNext(where, "c:3", PlaceKind::kRedis);
  EXPECT_TRUE(where.Moved(RedisPlace("", 4)));  // another port of the same host
  ExpectNext(where, "c:4", PlaceKind::kRedis);
  const auto failure = where.Failed(false);
  EXPECT_TRUE(failure.round_over);
  EXPECT_TRUE(failure.not_yet);
  ExpectNext(where, "a:1", PlaceKind::kClusterNode);
}

TEST(Whereabouts, NodesThatSendInCirclesAreLeft) {
  Whereabouts where = Of("a:1");
  for (int i = 0; i < Whereabouts::kMostHops; ++i) EXPECT_TRUE(where.Moved(RedisPlace("b", 2)));
  where.Settled();
  for (int i = 0; i < Whereabouts::kMostHops; ++i) EXPECT_TRUE(where.Moved(RedisPlace("b", 2)));
  EXPECT_FALSE(where.Moved(RedisPlace("b", 2)));
  ExpectNext(where, "a:1", PlaceKind::kRedis);
}

TEST(Whereabouts, SentinelsAreAskedOnEachConnection) {
  Whereabouts where = Of("sentinel://me:word@s:1,t/3?master=m1&user=su&password=sw");
  ExpectNext(where, "s:1", PlaceKind::kSentinel);
  Target target = where.Next();
  EXPECT_EQ(target.master, "m1");
  EXPECT_EQ(target.address.user + " " + target.address.password, "su sw");
  EXPECT_FALSE(where.Failed(false).round_over);
  ExpectNext(where, "t:26379", PlaceKind::kSentinel);
  where.Named(RedisPlace("r", 7));
  ExpectNext(where, "r:7/3", PlaceKind::kMaster);
  target = where.Next();
  EXPECT_EQ(target.address.user + " " + target.address.password, "me word");
  where.Lost();
  ExpectNext(where, "t:26379", PlaceKind::kSentinel);  // it has answered last
  where.Named(RedisPlace("r", 7));
  const auto failure = where.Failed(true);
  EXPECT_TRUE(failure.round_over);  // a pause before sentinels are asked again
  EXPECT_TRUE(failure.not_yet);
  ExpectNext(where, "s:1", PlaceKind::kSentinel);  // the other one knew no better
}

TEST(Redirection, Forms) {
  const auto moved = ParseRedirection("MOVED 3999 127.0.0.1:6381");
  ASSERT_TRUE(moved);
  EXPECT_TRUE(moved->for_good);
  EXPECT_EQ(moved->place, RedisPlace("127.0.0.1", 6381));
  const auto ask = ParseRedirection("ASK 1 ::1:7");
  ASSERT_TRUE(ask);
  EXPECT_FALSE(ask->for_good);
  EXPECT_EQ(ask->place, RedisPlace("::1", 7));
  EXPECT_EQ(ParseRedirection("MOVED 1 :7")->place, RedisPlace("", 7));
  for (const char* text :
       {"", "MOVED", "MOVED ", "MOVED 1", "MOVED 1 ", "MOVED 1 h", "MOVED 1 h:", "MOVED 1 h:0",
        "MOVED 1 h:65536", "MOVED 1 ?:7", "ERR MOVED 1 h:7", "ASKED 1 h:7"}) {
    EXPECT_FALSE(ParseRedirection(text)) << text;
  }
}

}  // namespace
}  // namespace msfl::cache
