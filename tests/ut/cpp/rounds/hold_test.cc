// getModel and getResult of the running iteration, held until it has ended.
#include "rounds/plain_text.h"
#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

class HoldTest : public RoundTest {
 protected:
  static constexpr std::uint64_t kLongMs = 600'000;

  void StartHolding(std::uint64_t hold_ms, std::uint64_t connections = 20'000, double address_share = 1) {
    ServerOptions options = Options();
    options.hold_ms = hold_ms;
    options.connection_limit = connections;
    options.limits.address_share = address_share;
    Start(options);
  }
  static Bytes8 GetRequest(int iteration) {
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(schema::CreateRequestGetModel(builder, 0, iteration));
    return Bytes(builder);
  }
  // Asks on both loops in turn without a thread for each request.
  std::future<net::HttpReply> AskLater(const std::string& round, int iteration,
                                       const std::string& from = "127.0.0.1") {
    const std::string path = "/" + round;
    for (const net::HttpRoute& route : routes_) {
      if (route.path != path) continue;
      return asio::co_spawn(loops_.loop(next_loop_++ % 2), Ask(route.handler, GetRequest(iteration), from),
                            asio::use_future);
    }
    throw std::runtime_error("no route " + path);
  }
  static Task<net::HttpReply> Ask(net::HttpHandler handler, Bytes8 body, std::string from) {
    Buffer aligned(body.size());
    std::copy(body.begin(), body.end(), aligned.data());
    net::HttpRequest request;
    request.body = aligned.bytes();
    request.address = net::AddressKey(asio::ip::make_address(from));
    net::HttpReply reply = co_await handler(request);
    co_return reply;
  }
  static Bytes8 Whole(const net::HttpReply& reply) {
    Bytes8 bytes = reply.head;
    bytes.insert(bytes.end(), reply.tail.begin(), reply.tail.end());
    return bytes;
  }
  static std::string Text(const net::HttpReply& reply) { return {reply.head.begin(), reply.head.end()}; }
  static int Retcode(const net::HttpReply& reply) {
    return flatbuffers::GetRoot<schema::ResponseGetModel>(Whole(reply).data())->retcode();
  }
  static void ExpectHeld(std::vector<std::future<net::HttpReply>>& held) {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    for (auto& one : held) {
      EXPECT_EQ(one.wait_for(std::chrono::milliseconds(0)), std::future_status::timeout);
    }
  }
  void EndIteration(int number) {
    StartJob("d1", 1);
    StartJob("d2", 1);
    Update("d1", number, AllWeights(1));
    Update("d2", number, AllWeights(3));
  }

 private:
  std::size_t next_loop_ = 0;
};

TEST_F(HoldTest, UntilTheIterationHasEnded) {
  hold_records_ = true;
  StartHolding(kLongMs);
  std::vector<std::future<net::HttpReply>> held;
  held.push_back(AskLater("getModel", 1));
  held.push_back(AskLater("getResult", 1));
  ExpectHeld(held);
  EndIteration(1);
  while (ended().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ExpectHeld(held);  // its files are not written yet
  job_->NoteRecorded(1);
  const net::HttpReply model = held[0].get(), result = held[1].get();
  const Bytes8 bytes = Whole(model);
  const auto* answer = flatbuffers::GetRoot<schema::ResponseGetModel>(bytes.data());
  EXPECT_EQ(answer->retcode(), 200);
  EXPECT_EQ(answer->iteration(), 2);
  EXPECT_EQ(Values(answer->feature_map()).at("s"), std::vector<float>{8});
  EXPECT_EQ(Retcode(result), 200);
}

TEST_F(HoldTest, OnlyTheRunningIteration) {
  StartHolding(kLongMs);
  EXPECT_EQ(Model(0)->retcode(), 200);
  EXPECT_EQ(Model(2)->retcode(), 200);
  EXPECT_EQ(Model(-1)->retcode(), 200);
  EXPECT_EQ(Result_(0)->retcode(), 200);
  const Bytes8 garbage(16, 0xff);
  EXPECT_EQ(AskTable<schema::ResponseGetModel>("getModel", garbage)->retcode(), 400);
}

TEST_F(HoldTest, ThenItIsNotReadyAsEver) {
  StartHolding(40);
  const SteadyClock::time_point asked = SteadyClock::now();
  EXPECT_EQ(Model(1)->retcode(), 201);
  EXPECT_GE(SteadyClock::now() - asked, std::chrono::milliseconds(40));
  EXPECT_EQ(Result_(1)->retcode(), 201);
  EXPECT_EQ(job_->gate().Look().iteration->visits.get_model.rejected, 1U);
}

TEST_F(HoldTest, NotBeyondAStop) {
  StartHolding(kLongMs);
  std::vector<std::future<net::HttpReply>> held;
  for (int i = 0; i < 10; ++i) held.push_back(AskLater("getResult", 1));
  ExpectHeld(held);
  job_->RequestStop();
  for (auto& one : held) EXPECT_EQ(Text(one.get()), kSafemodeText);
}

TEST_F(HoldTest, NotBeyondTheEndOfTheJob) {
  StartHolding(kLongMs);
  std::vector<std::future<net::HttpReply>> held;
  held.push_back(AskLater("getModel", 1));
  ExpectHeld(held);
  const cache::IterationKey current = job_->gate().Look().iteration->key();
  ASSERT_TRUE(OnControl(store_->SetState(current, cache::InstanceState::kStop)));
  EXPECT_EQ(Text(held[0].get()), kDisabledText);
}

TEST_F(HoldTest, ADisabledInstanceSaysSo) {
  StartHolding(kLongMs);
  std::vector<std::future<net::HttpReply>> held;
  held.push_back(AskLater("getModel", 1));
  ExpectHeld(held);
  const cache::IterationKey current = job_->gate().Look().iteration->key();
  ASSERT_TRUE(OnControl(store_->SetState(current, cache::InstanceState::kDisable)));
  EXPECT_EQ(Text(held[0].get()), kDisabledText);
}

TEST_F(HoldTest, ACacheThatIsAwayForAWhileDoesNotEndIt) {
  StartHolding(kLongMs);
  std::vector<std::future<net::HttpReply>> held;
  held.push_back(AskLater("getModel", 1));
  ExpectHeld(held);
  redis_.Kill();
  while (AskText("startFLJob", StartRequest("d1", 1)) != kSafemodeText) {
  }
  while (job_->gate().Look().service != job::Service::kSafemode) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  held.push_back(AskLater("getModel", 1));
  ExpectHeld(held);
  redis_.Start();  // empty: the iteration fails
  for (auto& one : held) EXPECT_EQ(Retcode(one.get()), 200);
}

TEST_F(HoldTest, AFinishedJobHoldsNobody) {
  StartHolding(kLongMs);
  for (int number = 1; number <= 3; ++number) {
    EndIteration(number);
    AwaitIteration(static_cast<std::uint64_t>(number) + 1);
  }
  EXPECT_EQ(Model(4)->retcode(), 201);
}

TEST_F(HoldTest, AtMostHalfOfTheConnectionsAndOfThemAnAddressItsShare) {
  StartHolding(kLongMs, 12, 0.5);
  std::vector<std::future<net::HttpReply>> held;
  for (int i = 0; i < 3; ++i) held.push_back(AskLater("getModel", 1, "10.0.0.1"));
  AwaitHeld(3);
  EXPECT_EQ(Retcode(AskLater("getModel", 1, "10.0.0.1").get()), 201);
  for (int i = 2; i < 5; ++i) held.push_back(AskLater("getResult", 1, "10.0.0." + std::to_string(i)));
  AwaitHeld(6);
  EXPECT_EQ(Retcode(AskLater("getModel", 1, "10.0.0.9").get()), 201);
  EndIteration(1);
  for (auto& one : held) EXPECT_EQ(Retcode(one.get()), 200);
  EXPECT_EQ(context_->held->addresses(), 0U);
}

TEST_F(HoldTest, ManyAreWokenTogether) {
  StartHolding(kLongMs);
  std::vector<std::future<net::HttpReply>> held;
  for (int i = 0; i < 5000; ++i) held.push_back(AskLater(i % 2 == 0 ? "getModel" : "getResult", 1));
  ExpectHeld(held);
  EndIteration(1);
  for (auto& one : held) EXPECT_EQ(Retcode(one.get()), 200);
}

TEST_F(HoldTest, ManyLoseTheirPatienceTogether) {
  StartHolding(300);
  std::vector<std::future<net::HttpReply>> held;
  for (int i = 0; i < 5000; ++i) held.push_back(AskLater("getResult", 1));
  for (auto& one : held) EXPECT_EQ(Retcode(one.get()), 201);
}

}  // namespace
}  // namespace msfl::rounds
