#include <gtest/gtest.h>

#include <map>

#include "load/closed_loop.h"
#include "load/open_loop.h"
#include "schedule_player.h"

namespace msfl::load {
namespace {

TEST(ClosedLoop, AllDevicesGoThroughEachRoundTogether) {
  const LoadOptions options = Options(2, 2);
  Player player;
  ClosedLoop schedule(options, player.now);
  EXPECT_EQ(player.Play(schedule, [](const Exchange&) { return Make(Verdict::kAccepted, 4); }),
            Ending::kDone);
  const std::vector<std::string> once{"startFLJob", "startFLJob", "updateModel", "updateModel",
                                      "getResult",  "getResult",  "getModel",    "getModel"};
  std::vector<std::string> twice = once;
  twice.insert(twice.end(), once.begin(), once.end());
  EXPECT_EQ(player.Rounds(), twice);
  EXPECT_EQ(player.sent[2].iteration, 4);
  LoadReport report;
  schedule.Fill(report);
  EXPECT_EQ(report.iterations, 2U);
  EXPECT_EQ(report.switch_ms.size(), 2U);
}

TEST(ClosedLoop, OneDeviceLearnsTheModelBeforeTheOthersBegin) {
  const LoadOptions options = Options(3, 1);
  Player player;
  ClosedLoop schedule(options, player.now);
  ASSERT_TRUE(schedule.Next(player.now, false));
  EXPECT_FALSE(schedule.Next(player.now, false));
}

TEST(ClosedLoop, RefusedDevicesSitOutTheIteration) {
  const LoadOptions options = Options(3, 1);
  Player player;
  ClosedLoop schedule(options, player.now);
  std::map<Round, int> count;
  player.Play(schedule, [&](const Exchange& exchange) {
    ++count[exchange.round];
    return Make(exchange.round == Round::kStartFlJob && exchange.device > 0 ? Verdict::kRefused
                                                                            : Verdict::kAccepted);
  });
  EXPECT_EQ(count[Round::kStartFlJob], 3);
  EXPECT_EQ(count[Round::kUpdateModel], 1);
  EXPECT_EQ(count[Round::kGetModel], 1);
}

TEST(ClosedLoop, ARoundThatIsFullForAllIsNoIteration) {
  const LoadOptions options = Options(2, 1);
  Player player;
  ClosedLoop schedule(options, player.now);
  int starts = 0;
  const Ending ending = player.Play(schedule, [&](const Exchange& exchange) {
    const bool full = exchange.round == Round::kStartFlJob && ++starts <= 4;
    return Make(full ? Verdict::kRefused : Verdict::kAccepted);
  });
  EXPECT_EQ(ending, Ending::kDone);
  EXPECT_EQ(starts, 6);
  Player impatient;
  ClosedLoop stuck(options, impatient.now);
  EXPECT_EQ(impatient.Play(stuck, [](const Exchange&) { return Make(Verdict::kRefused); }), Ending::kFull);
}

TEST(ClosedLoop, OneDeviceAsksUntilTheIterationIsOver) {
  const LoadOptions options = Options(5, 1);
  Player player;
  ClosedLoop schedule(options, player.now);
  int asked = 0;
  player.Play(schedule, [&](const Exchange& exchange) {
    if (exchange.round == Round::kGetResult && ++asked <= 7) {
      EXPECT_EQ(exchange.device, 0U);
      return Make(Verdict::kNotReady);
    }
    return Make(Verdict::kAccepted);
  });
  EXPECT_EQ(asked, 7 + 5);
  Player impatient;
  ClosedLoop stuck(options, impatient.now);
  const Ending ending = impatient.Play(stuck, [](const Exchange& exchange) {
    return Make(exchange.round == Round::kGetResult ? Verdict::kNotReady : Verdict::kAccepted);
  });
  EXPECT_EQ(ending, Ending::kNotReady);
}

TEST(ClosedLoop, EndsWithTheJobWithNothingButErrorsAndWithoutAnswers) {
  const LoadOptions options = Options(3, 2);
  const auto end = [&](const Player::Server& server) {
    Player player;
    ClosedLoop schedule(options, player.now);
    return player.Play(schedule, server);
  };
  EXPECT_EQ(end([](const Exchange&) { return Make(Verdict::kOver); }), Ending::kJobOver);
  EXPECT_EQ(end([](const Exchange&) { return Make(Verdict::kError); }), Ending::kErrors);
  EXPECT_EQ(end([](const Exchange&) { return std::nullopt; }), Ending::kSilent);
}

TEST(ClosedLoop, ARequestWhoseConnectionBrokeIsSentAgain) {
  const LoadOptions options = Options(1, 1);
  Player player;
  ClosedLoop schedule(options, player.now);
  int updates = 0;
  const Ending ending = player.Play(schedule, [&](const Exchange& exchange) -> std::optional<Answer> {
    if (exchange.round == Round::kUpdateModel && ++updates < kAttempts) return std::nullopt;
    return Make(Verdict::kAccepted);
  });
  EXPECT_EQ(ending, Ending::kDone);
  EXPECT_EQ(updates, kAttempts);
}

TEST(ClosedLoop, SafemodeIsWaitedFor) {
  const LoadOptions options = Options(2, 1);
  Player player;
  ClosedLoop schedule(options, player.now);
  int told = 0;
  EXPECT_EQ(player.Play(schedule,
                        [&](const Exchange&) {
                          return Make(++told % 2 == 1 ? Verdict::kSafemode : Verdict::kAccepted);
                        }),
            Ending::kDone);
}

TEST(ClosedLoop, TheNewestModelWithoutUpdates) {
  LoadOptions options = Options(1, 1);
  options.rounds = {true, false, false, true};
  Player player;
  ClosedLoop schedule(options, player.now);
  player.Play(schedule, [](const Exchange&) { return Make(Verdict::kAccepted, 4); });
  ASSERT_EQ(player.sent.size(), 2U);
  EXPECT_EQ(player.sent[1].iteration, 3);
}

TEST(OpenLoop, DevicesArriveWhenTheyWereMeantTo) {
  LoadOptions options = Options(5, 1);
  options.rounds = {true, false, false, false};
  options.rate = 100;
  Player player;
  const TimePoint began = player.now;
  OpenLoop schedule(options, began);
  EXPECT_EQ(player.Play(schedule, [](const Exchange&) { return Make(Verdict::kAccepted); }), Ending::kDone);
  ASSERT_EQ(player.sent.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(player.sent[i].device, i);
    EXPECT_EQ(player.sent[i].due, began + milliseconds(10 * i));
  }
}

TEST(OpenLoop, WhoWaitedForAConnectionIsStillDueWhenItWas) {
  LoadOptions options = Options(100, 1);
  options.rounds = {true, false, false, false};
  options.rate = 100;
  const TimePoint began{std::chrono::hours(1)};
  OpenLoop schedule(options, began);
  ASSERT_TRUE(schedule.Next(began, false));
  // Nobody asks for 300 ms: a Server that stalls, say.
  const TimePoint late = began + milliseconds(300);
  EXPECT_EQ(schedule.Overdue(late), 30U);
  for (int i = 1; i <= 30; ++i) {
    const auto exchange = schedule.Next(late, false);
    ASSERT_TRUE(exchange);
    EXPECT_EQ(exchange->due, began + milliseconds(10 * i));
  }
  EXPECT_FALSE(schedule.Next(late, false));
  EXPECT_EQ(schedule.NextDue(late), began + milliseconds(310));
}

TEST(OpenLoop, ADeviceGoesThroughItsRoundsAndAsksUntilItsModelIsReady) {
  LoadOptions options = Options(1, 1);
  options.rate = 1000;
  options.poll = 0.05;
  Player player;
  OpenLoop schedule(options, player.now);
  int asked = 0;
  const Ending ending = player.Play(schedule, [&](const Exchange& exchange) {
    const bool early = exchange.round == Round::kGetResult && ++asked <= 2;
    return Make(early ? Verdict::kNotReady : Verdict::kAccepted, 6);
  });
  EXPECT_EQ(ending, Ending::kDone);
  ASSERT_GE(player.sent.size(), 6U);
  EXPECT_EQ(player.sent[0].round, Round::kStartFlJob);
  for (const Exchange& exchange : player.sent) {
    EXPECT_EQ(exchange.iteration, exchange.round == Round::kStartFlJob ? 0 : 6);
  }
}

TEST(OpenLoop, EndsWithTheJobWithNothingButErrorsAndWithoutAnswers) {
  LoadOptions options = Options(3000, 1);
  options.rate = 1000;
  const auto end = [&](const Player::Server& server) {
    Player player;
    OpenLoop schedule(options, player.now);
    return player.Play(schedule, server);
  };
  EXPECT_EQ(end([](const Exchange&) { return Make(Verdict::kOver); }), Ending::kJobOver);
  EXPECT_EQ(end([](const Exchange&) { return Make(Verdict::kError); }), Ending::kErrors);
  EXPECT_EQ(end([](const Exchange&) { return Make(Verdict::kRefused); }), Ending::kFull);
  EXPECT_EQ(end([](const Exchange&) { return std::nullopt; }), Ending::kSilent);
  // All have tried in vain before patience is over.
  options.rounds = {true, false, false, false};
  options.devices = 10;
  EXPECT_EQ(end([](const Exchange&) { return std::nullopt; }), Ending::kSilent);
}

}  // namespace
}  // namespace msfl::load
