#include "net/peer_address.h"

#include <gtest/gtest.h>

namespace msfl::net {
namespace {

TEST(PeerAddress, WhatIsAccepted) {
  const auto expect = [](const char* text, const char* host, std::uint16_t port) {
    const auto address = PeerAddress::Parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->host, host);
    EXPECT_EQ(address->port, port);
  };
  expect("127.0.0.1:1", "127.0.0.1", 1);
  expect("10.1.2.3:65535", "10.1.2.3", 65535);
  expect("[::1]:6666", "::1", 6666);
  expect("[fe80::1%eth0]:6666", "fe80::1%eth0", 6666);
  expect("server-0.fl.svc:80", "server-0.fl.svc", 80);
}

TEST(PeerAddress, WhatIsNot) {
  for (const char* text : {"", ":", "a", "a:", ":1", "a:0", "a:65536", "a:-1", "a:1x", "a: 1", "::1:6666",
                           "[::1]", "[]:1", "[::1:1", "[a]:1", "a b:1", "http://a:1", "a\n:1", "[[::1]]:1"}) {
    const auto address = PeerAddress::Parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code, Errc::kInvalidArgument);
  }
  EXPECT_FALSE(PeerAddress::Parse(std::string(300, 'a') + ":1"));
}

}  // namespace
}  // namespace msfl::net
