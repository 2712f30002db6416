#include <gtest/gtest.h>

#include <array>
#include <type_traits>

#include "load/closed_loop.h"
#include "load/open_loop.h"
#include "schedule_player.h"

namespace msfl::load {
namespace {

template <class Loop>
class TimeIsOver : public testing::Test {
 public:
  // How a run ends whose time is over before anybody's patience is.
  static Ending End(const Player::Server& server,
                    std::array<bool, kRounds> rounds = {true, true, true, true}) {
    LoadOptions options = Options(4, 0);
    options.rounds = rounds;
    options.rate = std::is_same_v<Loop, OpenLoop> ? 100 : 0;
    options.patience = 60;
    Player player;
    player.stop_at = player.now + milliseconds(3000);
    Loop schedule(options, player.now);
    const TimePoint stop_at = player.stop_at;
    const Ending ending = player.Play(schedule, [&](const Exchange& exchange) {
      player.now += milliseconds(10);
      return server(exchange);
    });
    EXPECT_LT(player.now, stop_at + std::chrono::seconds(2)) << "nothing was under way any more";
    return ending;
  }
};
using Loops = testing::Types<ClosedLoop, OpenLoop>;
TYPED_TEST_SUITE(TimeIsOver, Loops);

TYPED_TEST(TimeIsOver, ARunThatGotSomewhereIsDone) {
  EXPECT_EQ(this->End([](const Exchange&) { return Make(Verdict::kAccepted); }), Ending::kDone);
  int told = 0;
  EXPECT_EQ(this->End([&](const Exchange&) -> std::optional<Answer> {
    if (++told > 1) return std::nullopt;
    return Make(Verdict::kAccepted);
  }),
            Ending::kSilent)
      << "whose Servers died under way";
  // How fast a full Server refuses may be what is measured.
  EXPECT_EQ(this->End([](const Exchange&) { return Make(Verdict::kRefused); }, {true, false, false, false}),
            Ending::kDone);
}

TYPED_TEST(TimeIsOver, ARunThatWasAllInVainSaysWhy) {
  EXPECT_EQ(this->End([](const Exchange&) { return std::nullopt; }), Ending::kSilent);
  EXPECT_EQ(this->End([](const Exchange&) { return Make(Verdict::kError); }), Ending::kErrors);
  EXPECT_EQ(this->End([](const Exchange&) { return Make(Verdict::kError); }, {true, false, false, false}),
            Ending::kErrors);
  EXPECT_EQ(this->End([](const Exchange&) { return Make(Verdict::kRefused); }), Ending::kFull);
  EXPECT_EQ(this->End([](const Exchange&) { return Make(Verdict::kNotReady); }, {false, false, true, false}),
            Ending::kNotReady);
  int told = 0;
  EXPECT_EQ(this->End([&](const Exchange&) -> std::optional<Answer> {
    if (++told > 1) return std::nullopt;
    return Make(Verdict::kRefused);
  }),
            Ending::kSilent)
      << "what was said before connections broke is not the last word";
}

TYPED_TEST(TimeIsOver, SomeBrokenConnectionsAmongAnswersAreNoSilence) {
  for (const Verdict verdict : {Verdict::kRefused, Verdict::kSafemode}) {
    for (int ends_at = 0; ends_at < 5; ++ends_at) {
      int told = ends_at;
      EXPECT_EQ(this->End([&](const Exchange&) -> std::optional<Answer> {
        if (++told % 5 == 0) return std::nullopt;
        return Make(verdict);
      }),
                verdict == Verdict::kRefused ? Ending::kFull : Ending::kNotReady);
    }
  }
}

TYPED_TEST(TimeIsOver, WhatIsUnderWayIsWaitedForButNotForEver) {
  LoadOptions options = Options(1, 0);
  options.rate = std::is_same_v<TypeParam, OpenLoop> ? 100 : 0;
  options.patience = 60;
  const TimePoint began{std::chrono::hours(1)};
  TypeParam schedule(options, began);
  ASSERT_TRUE(schedule.Next(began, false));
  schedule.StopArrivals(began + milliseconds(50));
  EXPECT_FALSE(schedule.ended(began + milliseconds(50)));
  EXPECT_FALSE(schedule.ended(began + kAfterwards));
  EXPECT_EQ(schedule.ended(began + milliseconds(50) + kAfterwards), Ending::kSilent);
}

}  // namespace
}  // namespace msfl::load
