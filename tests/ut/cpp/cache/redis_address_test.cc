#include <gtest/gtest.h>

#include "cache/job_keys.h"
#include "cache/redis_client.h"

namespace msfl::cache {
namespace {

TEST(RedisAddress, Forms) {
  struct Case {
    const char *text, *host;
    int port;
    const char *user, *password;
    int database;
    const char *path, *display;
  };
  const Case cases[] = {
      {"127.0.0.1:6379", "127.0.0.1", 6379, "", "", 0, "", "127.0.0.1:6379"},
      {"redis.example:1", "redis.example", 1, "", "", 0, "", "redis.example:1"},
      {"[::1]:65535", "::1", 65535, "", "", 0, "", "[::1]:65535"},
      {"redis://h", "h", 6379, "", "", 0, "", "h:6379"},
      {"redis://h:7000/3", "h", 7000, "", "", 3, "", "h:7000/3"},
      {"redis://h/", "h", 6379, "", "", 0, "", "h:6379"},
      {"redis://:secret@h:7000", "h", 7000, "", "secret", 0, "", "h:7000"},
      {"redis://me:se%40cr@et@[fe80::1]:7000/2", "fe80::1", 7000, "me", "se@cr@et", 2, "",
       "[fe80::1]:7000/2"},
      {"redis://me@h", "h", 6379, "me", "", 0, "", "h:6379"},
      {"unix:/run/redis.sock", "", 6379, "", "", 0, "/run/redis.sock", "unix:/run/redis.sock"},
      {"unix:///run/redis.sock", "", 6379, "", "", 0, "/run/redis.sock", "unix:/run/redis.sock"},
  };
  for (const Case& c : cases) {
    const auto address = RedisAddress::Parse(c.text);
    ASSERT_TRUE(address) << c.text << ": " << address.error().text;
    EXPECT_EQ(address->host, c.host) << c.text;
    EXPECT_EQ(address->port, c.port) << c.text;
    EXPECT_EQ(address->user, c.user) << c.text;
    EXPECT_EQ(address->password, c.password) << c.text;
    EXPECT_EQ(address->database, c.database) << c.text;
    EXPECT_EQ(address->socket_path, c.path) << c.text;
    EXPECT_EQ(address->ForDisplay(), c.display) << c.text;
  }
}

TEST(RedisAddress, Several) {
  const auto nodes = RedisAddress::Parse("redis://me:word@a:1,[::1],b:3");
  ASSERT_TRUE(nodes) << nodes.error().text;
  EXPECT_EQ(nodes->host, "a");
  EXPECT_EQ(nodes->others, (std::vector<RedisPlace>{RedisPlace("::1", 6379), RedisPlace("b", 3)}));
  EXPECT_EQ(nodes->ForDisplay(), "a:1,[::1]:6379,b:3");
  EXPECT_EQ(RedisAddress::Parse("a:1,b:2")->others.size(), 1U);

  const auto sentinels =
      RedisAddress::Parse("sentinel://me:wo%2Frd@a,b:2/4?master=the%20one&user=su&password=s%3F%26");
  ASSERT_TRUE(sentinels) << sentinels.error().text;
  EXPECT_EQ(sentinels->port, 26379);
  EXPECT_EQ(sentinels->others, std::vector<RedisPlace>{RedisPlace("b", 2)});
  EXPECT_EQ(sentinels->password, "wo/rd");
  EXPECT_EQ(sentinels->database, 4);
  EXPECT_EQ(sentinels->master, "the one");
  EXPECT_EQ(sentinels->sentinel_user, "su");
  EXPECT_EQ(sentinels->sentinel_password, "s?&");
  EXPECT_EQ(sentinels->ForDisplay(), "a:26379,b:2/4 (sentinels of the one)");
}

TEST(RedisAddress, Refused) {
  for (const char* text : {"",
                           "host",
                           ":6379",
                           "host:",
                           "host:0",
                           "host:65536",
                           "host:12x",
                           "::1:6379",
                           "[::1",
                           "[::1]x:1",
                           "[]:1",
                           "a b:1",
                           "unix:",
                           "unix:relative",
                           "http://h:1",
                           "rediss://h:1",
                           "redis://",
                           "redis://h/x",
                           "redis://h/-1",
                           "redis://h:1/2/3",
                           "redis://u:%4@h",
                           "redis://u:%zz@h",
                           "redis://@",
                           "a:1,",
                           ",a:1",
                           "a:1,b",
                           "a:1,redis://b",
                           "sentinel://a",
                           "sentinel://a?master=",
                           "sentinel://a?master=m&x=y",
                           "sentinel://a?master",
                           "sentinel://?master=m"}) {
    const auto address = RedisAddress::Parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code, Errc::kInvalidArgument) << text;
    EXPECT_NE(address.error().text.find("allowed are"), std::string::npos) << address.error().text;
  }
  EXPECT_FALSE(RedisAddress::Parse("unix:/" + std::string(107, 'a')));
  EXPECT_TRUE(RedisAddress::Parse("unix:/" + std::string(106, 'a')));
}

TEST(RedisAddress, NoPasswordInErrors) {
  const auto address = RedisAddress::Parse("redis://me:secret@host:0");
  ASSERT_FALSE(address);
  EXPECT_EQ(address.error().text.find("secret"), std::string::npos) << address.error().text;
  for (const char* text :
       {"sentinel://h:0?master=m&password=secret", "sentinel://u:secret@h?password=secret"}) {
    const auto sentinels = RedisAddress::Parse(text);
    ASSERT_FALSE(sentinels);
    EXPECT_EQ(sentinels.error().text.find("secret"), std::string::npos) << sentinels.error().text;
  }
}

TEST(Script, IsNamedByItsSha1) {
  EXPECT_EQ(Script("one", "return 1").sha1(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
}

TEST(JobKeys, NamesStandAlone) {
  EXPECT_EQ(KeyPrefix("lenet"), "ms_fl:{lenet}:");
  EXPECT_EQ(KeyPrefix("a b"), "ms_fl:{a b}:");
  EXPECT_EQ(KeyPrefix("}x{%"), "ms_fl:{%7Dx%7B%25}:");
  EXPECT_NE(KeyPrefix("%7D"), KeyPrefix("}"));
}

}  // namespace
}  // namespace msfl::cache
