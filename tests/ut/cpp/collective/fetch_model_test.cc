#include "collective/cluster.h"

namespace msfl::collective {
namespace {

class FetchModelTest : public ClusterTest {
 protected:
  FetchModelTest() {
    SetLayout({Declare("a", {300'000}), Declare("b", {}), Declare("frozen", {1000}, false)});
    StartNodes(2);
    digest = model::Digest(*start);
    nodes[1]->exchange->SetModelSource(
        [this](std::string_view wanted) -> std::shared_ptr<const model::Model> {
          if (wanted == digest || wanted == lie) return start;
          return nullptr;
        });
  }
  FetchRequest For(std::string wanted) const {
    FetchRequest request;
    request.tcp_address = nodes[1]->address;
    request.node_id = "S2";
    request.digest = std::move(wanted);
    request.layout = layout;
    request.patience = kShort;
    return request;
  }
  std::string digest;
  const std::string lie = std::string(32, '0');
};

TEST_F(FetchModelTest, AllFloatsAndNothingElse) {
  const ModelResult result = nodes[0]->Fetch(For(digest)).get();
  ASSERT_TRUE(result) << result.error().text;
  EXPECT_EQ(
      std::memcmp((*result)->tail(false).bytes.data(), start->tail(false).bytes.data(), layout->tail_bytes()),
      0);
}

TEST_F(FetchModelTest, WhatIsNotThereIsNotWhoIsNotThere) {
  for (const std::string& unknown : {std::string(32, 'f'), std::string(), std::string(5000, 'x')}) {
    const ModelResult result = nodes[0]->Fetch(For(unknown)).get();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Errc::kModelUnknown) << result.error().text;
  }
  nodes[1]->Kill();
  const ModelResult result = nodes[0]->Fetch(For(digest)).get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::kPeerUnavailable) << result.error().text;
}

TEST_F(FetchModelTest, AnotherModelThanAskedForIsRefused) {
  const ModelResult result = nodes[0]->Fetch(For(lie)).get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::kDisagreement) << result.error().text;
}

TEST_F(FetchModelTest, AnotherLayoutIsRefused) {
  FetchRequest request = For(digest);
  request.layout = *model::Layout::Make({Declare("a", {5})});
  const ModelResult result = nodes[0]->Fetch(std::move(request)).get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::kPeerUnavailable) << result.error().text;
}

TEST_F(FetchModelTest, WithoutASourceThereAreNone) {
  FetchRequest request = For(digest);
  request.tcp_address = nodes[0]->address;
  request.node_id = "S1";
  EXPECT_EQ(nodes[1]->Fetch(std::move(request)).get().error().code, Errc::kModelUnknown);
}

TEST_F(FetchModelTest, OtherNode) {
  FetchRequest request = For(digest);
  request.node_id = "S7";
  EXPECT_EQ(nodes[0]->Fetch(std::move(request)).get().error().code, Errc::kPeerRefused);
}

TEST_F(FetchModelTest, CancelEndsIt) {
  asio::io_context context;
  asio::ip::tcp::acceptor deaf(context, asio::ip::tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
  FetchRequest request = For(digest);
  request.tcp_address = "127.0.0.1:" + std::to_string(deaf.local_endpoint().port());
  request.patience = kLong;
  auto fetching = nodes[0]->Fetch(std::move(request));
  std::this_thread::sleep_for(milliseconds(30));
  nodes[0]->exchange->Cancel();
  EXPECT_EQ(fetching.get().error().code, Errc::kStopping);
}

}  // namespace
}  // namespace msfl::collective
