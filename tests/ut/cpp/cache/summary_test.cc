// What the Servers write down together at the end of an iteration.
#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

class Summary : public StoreFixture {
 protected:
  Summary() {
    Open();
    a = Register("a");
    b = Register("b");
    Wait(store->Advance(At(1), true, "done", ""));
  }
  Summaries Look(const std::string& id, const std::string& text) {
    return Wait(store->Summarise(At(1), id, text));
  }
  using Texts = std::map<std::string, std::string>;
  Node a, b;
};

TEST_F(Summary, TheFirstOneWritesWhenAllHaveSpoken) {
  const Summaries first = Look("b", "b's");
  EXPECT_TRUE(first.writer);
  EXPECT_FALSE(first.complete);
  EXPECT_FALSE(first.recorded);
  EXPECT_EQ(first.texts, (Texts{{"b", "b's"}}));
  const std::string binary("a's\0\r\n\xff", 7);
  const Summaries second = Look("a", binary);
  EXPECT_FALSE(second.writer);
  EXPECT_TRUE(second.complete);
  EXPECT_EQ(second.texts, (Texts{{"a", binary}, {"b", "b's"}}));
  const Summaries again = Look("b", "b's");
  EXPECT_TRUE(again.writer);
  EXPECT_TRUE(again.complete);
  EXPECT_EQ(again.texts, second.texts);

  Wait(store->MarkRecorded(At(1)));
  EXPECT_TRUE(Look("a", binary).recorded);
  EXPECT_FALSE(Look("a", binary).writer);
  EXPECT_TRUE(Look("b", "b's").recorded);
}

TEST_F(Summary, TwoAtOnceHaveOneWriter) {
  const auto other = MakeStore();
  for (std::uint64_t number = 1; number <= 20; ++number) {
    Many<Result<Summaries>> running;
    running.Start(loops, 0, store->Summarise(At(number), "a", "a's"));
    running.Start(loops, 1, other->Summarise(At(number), "b", "b's"));
    const auto answers = running.Wait();
    ASSERT_TRUE(answers[0] && answers[1]);
    EXPECT_NE(answers[0]->writer, answers[1]->writer);
    EXPECT_NE(answers[0]->complete, answers[1]->complete);
  }
}

TEST_F(Summary, ANewServerIsWaitedForAndAWorkerIsNot) {
  Look("a", "");
  Call({"HSET", Key("nodes"), "w", "WORKER w 77"}).value();
  EXPECT_TRUE(Look("b", "").complete);
  Register("c");
  EXPECT_FALSE(Look("b", "").complete);
  EXPECT_TRUE(Look("c", "").complete);
}

TEST_F(Summary, AWriterThatIsGoneIsReplacedByTheNextThatLooks) {
  const Node c = Register("c");
  EXPECT_TRUE(Look("a", "a's").writer);
  EXPECT_FALSE(Look("b", "b's").writer);
  Wait(store->Unregister(a));
  const Summaries seen = Look("c", "c's");
  EXPECT_TRUE(seen.writer);
  EXPECT_TRUE(seen.complete);
  EXPECT_EQ(seen.texts.count("a"), 1U);  // what it has said stays said
  EXPECT_FALSE(Look("b", "b's").writer);
  EXPECT_FALSE(Look("a", "a's").writer);  // it was only slow
  EXPECT_TRUE(Look("c", "c's").writer);
}

TEST_F(Summary, WhoIsOutOfTheClusterTakesNothingOver) {
  Call({"DEL", Key("nodes")}).value();
  EXPECT_TRUE(Look("a", "").writer);
  EXPECT_FALSE(Look("b", "").writer);
  EXPECT_TRUE(Look("a", "").writer);
}

TEST_F(Summary, WhatIsRecordedNeedsNoWriter) {
  EXPECT_TRUE(Look("a", "").writer);
  Wait(store->MarkRecorded(At(1)));
  Wait(store->Unregister(a));
  const Summaries seen = Look("b", "");
  EXPECT_FALSE(seen.writer);
  EXPECT_TRUE(seen.recorded);
  Wait(store->MarkRecorded(At(2)));  // nobody has looked
  EXPECT_FALSE(Look("b", "").writer);
}

TEST_F(Summary, EachIterationHasItsOwnForTenMinutes) {
  Look("a", "");
  EXPECT_TRUE(Wait(store->Summarise(At(2), "b", "")).writer);
  EXPECT_TRUE(Wait(store->Summarise(At(1, "i_0"), "b", "")).writer);
  Wait(store->MarkRecorded(At(3)));
  for (const char* row : {"i_1:1:summary", "i_1:2:summary", "i_0:1:summary", "i_1:3:summary"}) {
    const std::int64_t left = Call({"PTTL", Key(row)}).value().integer;
    EXPECT_GT(left, 500'000) << row;
    EXPECT_LE(left, 600'000) << row;
  }
}

TEST_F(Summary, EventsTellWhenToLook) {
  EventLog events(*store);
  for (int twice = 0; twice < 2; ++twice) {
    Look("a", "a's");
    Look("b", "b's");
  }
  for (int twice = 0; twice < 2; ++twice) Wait(store->MarkRecorded(At(1)));
  Wait(store->Summarise(At(2), "a", "a's"));
  using enum JobEvent::Kind;
  const std::vector<std::string> expected{EventLog::Line(kSummary, 1), EventLog::Line(kSummary, 1),
                                          EventLog::Line(kRecorded, 1), EventLog::Line(kSummary, 2)};
  EXPECT_EQ(events.Await(expected.size()), expected);
  client->Stop();
}

}  // namespace
}  // namespace msfl::cache
