#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <thread>

#include "collective/cluster.h"

namespace msfl::collective {
namespace {

class CombineFaultTest : public ClusterTest {
 protected:
  CombineFaultTest() { SetLayout({Declare("a", {100'000}), Declare("b", {})}); }
  void StartAndUpload(std::size_t count) {
    StartNodes(count);
    UploadToAll();
  }
  void UploadToAll() {
    for (std::size_t node = 0; node < nodes.size(); ++node)
      Upload(node, {std::vector<float>(100'000, static_cast<float>(node)), {1}}, 1);
  }
  static void ExpectError(const ModelResult& result, Errc code, const std::string& text) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code) << result.error().text;
    EXPECT_NE(result.error().text.find(text), std::string::npos) << result.error().text;
  }
  static void Pause() { std::this_thread::sleep_for(milliseconds(30)); }
  bool IsUnderWay(std::future<ModelResult>& future) {
    return future.wait_for(milliseconds(0)) == std::future_status::timeout;
  }
};

TEST_F(CombineFaultTest, AMemberThatNeverBegins) {
  StartAndUpload(3);
  auto first = nodes[0]->Combine(Request(0, kShort)), second = nodes[1]->Combine(Request(1, kShort));
  for (const ModelResult& result : {first.get(), second.get()}) {
    // One may hear of the other's failure first.
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().text.find("'S3'"), std::string::npos) << result.error().text;
    EXPECT_NE(result.error().text.find("has not begun to combine iteration 1 of instance 'instance'"),
              std::string::npos)
        << result.error().text;
  }
  // Each tries again when it likes: the failure of one that has not yet is no reason to fail.
  first = nodes[0]->Combine(Request(0));
  Pause();
  second = nodes[1]->Combine(Request(1));
  Pause();
  auto third = nodes[2]->Combine(Request(2));
  const std::vector<ModelResult> results{first.get(), second.get(), third.get()};
  EXPECT_NE(TheSame(results), nullptr);
}

TEST_F(CombineFaultTest, AMemberThatBeginsLate) {
  StartAndUpload(3);
  auto first = nodes[0]->Combine(Request(0)), second = nodes[1]->Combine(Request(1));
  Pause();
  EXPECT_TRUE(IsUnderWay(first));
  auto third = nodes[2]->Combine(Request(2));
  std::vector<ModelResult> results{first.get(), second.get(), third.get()};
  EXPECT_NE(TheSame(results), nullptr);
}

TEST_F(CombineFaultTest, AMemberThatDiesIsNamedAndTheOthersGoOnWithoutIt) {
  StartAndUpload(3);
  auto first = nodes[0]->Combine(Request(0, kShort)), second = nodes[1]->Combine(Request(1, kShort));
  Pause();
  nodes[2]->Kill();
  for (const ModelResult& result : {first.get(), second.get()}) {
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().text.find("'S3'"), std::string::npos) << result.error().text;
  }
  const ModelResult without = nodes[0]->Combine(Request(0, kShort)).get();
  ASSERT_FALSE(without);
  EXPECT_NE(without.error().text.find("'S3'"), std::string::npos) << without.error().text;
  nodes.pop_back();
  const auto model = TheSame(CombineAll());
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(Values(*model, 0), std::vector<float>(100'000, 0.5F));
}

TEST_F(CombineFaultTest, NobodyAtTheAddress) {
  StartAndUpload(2);
  for (const char* address : {"127.0.0.1:1", "no.such.host.invalid:80"}) {
    CombineRequest request = Request(0, kShort);
    request.members[1].tcp_address = address;
    ExpectError(nodes[0]->Combine(std::move(request)).get(), Errc::kPeerUnavailable,
                std::string("'S2' at ") + address);
  }
  CombineRequest request = Request(0, kShort);
  request.members[1].tcp_address = "nonsense";
  ExpectError(nodes[0]->Combine(std::move(request)).get(), Errc::kInvalidArgument, "'nonsense'");
}

TEST_F(CombineFaultTest, AnotherProgramAtTheAddress) {
  StartAndUpload(2);
  asio::io_context context;
  asio::ip::tcp::acceptor acceptor(context, asio::ip::tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
  std::atomic<bool> over{false};
  std::thread thread([&] {
    while (!over) {
      boost::system::error_code ec;
      asio::ip::tcp::socket socket = acceptor.accept(ec);
      if (!ec) socket.write_some(asio::buffer("HTTP/1.1 400 Bad Request\r\n\r\n", 28), ec);
    }
  });
  CombineRequest request = Request(0, kShort);
  request.members[1].tcp_address = "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
  ExpectError(nodes[0]->Combine(std::move(request)).get(), Errc::kPeerUnavailable, "'S2'");
  over = true;
  ::shutdown(acceptor.native_handle(), SHUT_RDWR);  // ends accept()
  thread.join();
}

TEST_F(CombineFaultTest, OtherJobOrOtherNode) {
  StartAndUpload(2);
  CombineRequest request = Request(0);
  request.members[1].node_id = "S9";
  ExpectError(nodes[0]->Combine(std::move(request)).get(), Errc::kPeerRefused, "it is 'S2', not 'S9'");

  net::EventLoops loops(1);
  loops.Start();
  {
    Exchange other("another", "S1", pool);
    const ModelResult result =
        asio::co_spawn(loops.control(), CombineBy(other, Request(0)), asio::use_future).get();
    ExpectError(result, Errc::kPeerRefused, "it belongs to the job 'job', not to 'another'");
  }
  loops.Stop();
}

TEST_F(CombineFaultTest, OtherNumbersOfUploads) {
  StartAndUpload(2);
  CombineRequest own = Request(0);
  own.members[0].uploads = 2;
  ExpectError(nodes[0]->Combine(std::move(own)).get(), Errc::kDisagreement, "1 uploads, not 2");

  CombineRequest others = Request(0, kShort);
  others.members[1].uploads = 5;
  auto second = nodes[1]->Combine(Request(1, kShort));
  ExpectError(nodes[0]->Combine(std::move(others)).get(), Errc::kPeerRefused, "or other sums");
  ExpectError(second.get(), Errc::kPeerRefused, "'S1'");
  NewSums();
  UploadToAll();
  EXPECT_NE(TheSame(CombineAll()), nullptr);
}

TEST_F(CombineFaultTest, OtherMembers) {
  StartAndUpload(3);
  CombineRequest pair = Request(0, kShort);
  pair.members.pop_back();
  auto first = nodes[0]->Combine(std::move(pair));
  auto second = nodes[1]->Combine(Request(1, kShort));
  const ModelResult one = first.get(), two = second.get();
  ASSERT_FALSE(one);
  ASSERT_FALSE(two);
  EXPECT_NE(one.error().text.find("'S2'"), std::string::npos) << one.error().text;
}

TEST_F(CombineFaultTest, RequestsThatMakeNoSense) {
  StartAndUpload(2);
  CombineRequest unsorted = Request(0), stranger = Request(0), twice = Request(0), empty = Request(0);
  std::swap(unsorted.members[0], unsorted.members[1]);
  stranger.members.erase(stranger.members.begin());
  twice.members[1].node_id = "S1";
  empty.sum = nullptr;
  for (CombineRequest* request : {&unsorted, &stranger, &twice, &empty})
    ExpectError(nodes[0]->Combine(std::move(*request)).get(), Errc::kInvalidArgument, "combine");
  EXPECT_NE(TheSame(CombineAll()), nullptr);
}

TEST_F(CombineFaultTest, StopEndsIt) {
  StartAndUpload(2);
  std::atomic<bool> stop{false};
  CombineRequest request = Request(0);
  request.stop = [&] { return stop.load(); };
  auto combining = nodes[0]->Combine(std::move(request));
  Pause();
  EXPECT_TRUE(IsUnderWay(combining));
  stop = true;
  ExpectError(combining.get(), Errc::kStopping, "given up");
  EXPECT_NE(TheSame(CombineAll()), nullptr);
}

TEST_F(CombineFaultTest, LeavingEndsItAndThoseWhoWaitAreToldSo) {
  StartAndUpload(3);
  auto first = nodes[0]->Combine(Request(0)), second = nodes[1]->Combine(Request(1));
  Pause();
  nodes[2]->exchange->Leave(kInstance, iteration);
  const ModelResult one = first.get(), two = second.get();
  ASSERT_FALSE(one);
  ASSERT_FALSE(two);
  EXPECT_NE(one.error().text.find("'S3'"), std::string::npos) << one.error().text;
  EXPECT_EQ(one.error().code, Errc::kPeerRefused);
  EXPECT_EQ(two.error().code, Errc::kPeerRefused);

  NewSums();
  ++iteration;
  auto alone = nodes[0]->Combine(Request(0));
  Pause();
  nodes[0]->exchange->Leave(kInstance, iteration);
  ExpectError(alone.get(), Errc::kStopping, "left iteration 2");
  ExpectError(nodes[0]->Combine(Request(0)).get(), Errc::kStopping, "left iteration 2");
}

TEST_F(CombineFaultTest, AnEarlierIterationIsOpenOnceMore) {
  StartAndUpload(2);
  ASSERT_NE(TheSame(CombineAll()), nullptr);
  for (const auto& node : nodes) node->exchange->Leave(kInstance, iteration + 2);
  ExpectError(nodes[0]->Combine(Request(0)).get(), Errc::kStopping, "left iteration 1");
  for (const auto& node : nodes) node->exchange->GoBack(kInstance, iteration);
  EXPECT_NE(TheSame(CombineAll()), nullptr);
}

TEST_F(CombineFaultTest, CancelEndsItAndAllThatWaits) {
  StartAndUpload(3);
  auto first = nodes[0]->Combine(Request(0)), second = nodes[1]->Combine(Request(1));
  Pause();
  nodes[0]->exchange->Cancel();
  ExpectError(first.get(), Errc::kStopping, "stopping");
  ExpectError(second.get(), Errc::kPeerRefused, "'S1'");
  ExpectError(nodes[0]->Combine(Request(0)).get(), Errc::kStopping, "stopping");
  nodes[0]->server->Stop();
}

TEST_F(CombineFaultTest, AServerMayStopWhileOthersWaitForIt) {
  StartAndUpload(3);
  auto first = nodes[0]->Combine(Request(0, kShort));
  Pause();
  nodes.pop_back();  // with its loops
  ASSERT_FALSE(first.get());
}

}  // namespace
}  // namespace msfl::collective
