// A Server that takes the place of one that died without a word.
#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

class TakeoverTest : public RoundTest {
 protected:
  collective::Exchange successors_exchange_{"round test", "127.0.0.1:2::t::12345", pool_};
  std::unique_ptr<job::Job> successor_;  // the cache's events reach it until TearDown has ended them
};

TEST_F(TakeoverTest, ADeadServerIsRemovedAndItsIterationFails) {
  Start();
  EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
  EXPECT_EQ(Update("d1", 1, AllWeights(1))->retcode(), 200);
  const cache::Node dead = *job_->node();
  // As after a kill: the row stays, the heartbeat runs out.
  job_->RequestStop();
  running_.wait();
  cache::RedisOptions redis_options;
  redis_options.address = *cache::RedisAddress::Parse(redis_.address());
  ASSERT_TRUE(OnControl(client_->Command(
      {"HSET", "ms_fl:{round test}:nodes", dead.id, "SERVER 127.0.0.1:1 " + std::to_string(dead.epoch)})));

  successor_ = std::make_unique<job::Job>(loops_, *store_, successors_exchange_, pool_, options_,
                                          [this](job::IterationEnded ended) {
                                            EXPECT_EQ(ended.reason, job::ContributorLostReason(1));
                                            EXPECT_FALSE(ended.valid);
                                            successor_->NoteRecorded(ended.key.number);
                                          });
  job::Job& successor = *successor_;
  ASSERT_TRUE(OnControl(successor.Open(1)));
  successor.SetStartModel(job_->history().Latest().model);
  ASSERT_TRUE(OnControl(successor.Join("127.0.0.1:2::t::12345", "127.0.0.1:2", "")));
  asio::co_spawn(loops_.loop(0), successor.Beat(), asio::detached);
  auto running = asio::co_spawn(loops_.control(), successor.Run(), asio::use_future);
  while (successor.gate().Look().switching || successor.gate().Look().iteration->number() != 2) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const auto listed = OnControl(store_->ListServers());
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->size(), 1U);
  successor.RequestStop();
  running.wait();
}

}  // namespace
}  // namespace msfl::rounds
