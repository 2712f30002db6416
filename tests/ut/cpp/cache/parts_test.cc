// Whose the parts of an iteration are.
#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

class Parts : public StoreFixture {
 protected:
  Parts() {
    JobStoreOptions options = DefaultOptions();
    options.heartbeat_expiry = std::chrono::milliseconds(300);
    options.thresholds.update_model = 3;
    store = MakeStore(options);
    Open();
    for (const char* fl_id : {"d1", "d2", "d3"}) Join(fl_id);
    a = Register("a");
    b = Register("b");
    c = Register("c");
  }
  void Update(const Node& node, const std::string& fl_id) {
    EXPECT_EQ(Reserve(node, fl_id).verdict, ReserveVerdict::kReserved);
    EXPECT_EQ(Commit(node, fl_id).verdict, CommitVerdict::kCounted);
  }
  SetHoldersVerdict SetHolders(const Node& owner, std::vector<std::string> holders, std::string part = "a") {
    return Wait(store->SetHolders(At(1), std::move(part), owner, std::move(holders)));
  }
  TakeOverAnswer TakeOver(const Node& heir, std::uint64_t uploads, std::vector<HeldUpdate> unsettled = {}) {
    return Wait(store->TakeOver(At(1), "a", heir, uploads, std::move(unsettled)));
  }
  static HeldUpdate Held(const std::string& fl_id) {
    HeldUpdate update;
    update.fl_id = fl_id;
    update.nonce = "u-" + fl_id;
    update.digest = "d-u-" + fl_id;
    return update;
  }
  std::string Orphans(std::uint64_t number = 1) {
    std::string text;
    for (const Orphan& one : Observe(number).orphans) text += one.part + ">" + one.heir + ";";
    return text;
  }
  Node a, b, c;
};

TEST_F(Parts, TheHeirOfAServerThatLeavesGoesOnWithItsPart) {
  Update(a, "d1");
  EXPECT_EQ(SetHolders(a, {"b", "c"}), SetHoldersVerdict::kDone);
  EXPECT_EQ(TakeOver(b, 1).verdict, TakeOverVerdict::kNotHeir) << "the owner is there";
  Wait(store->Unregister(a));
  EXPECT_FALSE(Observe().contributor_lost);
  EXPECT_EQ(Orphans(), "a>b;");
  EXPECT_EQ(TakeOver(c, 1).verdict, TakeOverVerdict::kNotHeir);
  const TakeOverAnswer taken = TakeOver(b, 1);
  EXPECT_EQ(taken.verdict, TakeOverVerdict::kTaken);
  EXPECT_EQ(taken.counted, 1U);
  EXPECT_EQ(TakeOver(b, 1).verdict, TakeOverVerdict::kTaken) << "its answer was lost";
  EXPECT_EQ(Orphans(), "");
  Update(b, "d2");
  Update(c, "d3");
  const Snapshot seen = Observe();
  ASSERT_EQ(seen.contributors.size(), 2U);
  EXPECT_EQ(seen.contributors[0].node_id, "b");
  EXPECT_EQ(seen.contributors[0].counted, 2U);
  EXPECT_EQ(seen.contributors[1].counted, 1U);
}

TEST_F(Parts, NobodyCombinesBeforeItIsTakenOver) {
  for (const char* fl_id : {"d1", "d2", "d3"}) Update(a, fl_id);
  SetHolders(a, {"b"});
  Wait(store->Unregister(a));
  EXPECT_TRUE(Observe().contributors.empty());
  EXPECT_EQ(TakeOver(b, 3).verdict, TakeOverVerdict::kTaken);
  EXPECT_EQ(Observe().contributors.size(), 1U);
}

TEST_F(Parts, WhatWasSharedAndNotCountedIsCountedByTheHeir) {
  Update(a, "d1");
  SetHolders(a, {"b"});
  Reserve(a, "d2");
  Reserve(a, "d3");  // and not shared
  Wait(store->Unregister(a));
  EXPECT_EQ(Rows().round.at("leased"), "2") << "the heir decides on them";
  const TakeOverAnswer taken = TakeOver(b, 2, {Held("d1"), Held("d2")});
  EXPECT_EQ(taken.verdict, TakeOverVerdict::kTaken);
  EXPECT_EQ(taken.counted, 2U);
  const auto rows = Rows();
  EXPECT_EQ(rows.round.at("counted"), "2");
  EXPECT_EQ(rows.round.at("leased"), "0");
  EXPECT_EQ(rows.updates.count("d3"), 0U) << "somebody else may have the place";
  EXPECT_EQ(Wait(store->FindUpdate(At(1), "d2")).digest, "d-u-d2");
  // The dead one was only slow, and asks now what the heir has done for it.
  EXPECT_EQ(Commit(a, "d2").verdict, CommitVerdict::kCounted);
  EXPECT_EQ(Commit(a, "d3").verdict, CommitVerdict::kFenced);
  EXPECT_EQ(Rows().round.at("counted"), "2");
}

// Nothing of it is counted yet, but its holders may have what is about to be.
TEST_F(Parts, APartWithoutACountHasAnHeirAsWell) {
  SetHolders(a, {"b"});
  Reserve(a, "d1");
  Wait(store->Unregister(a));
  EXPECT_EQ(Observe().leased, 1U);
  EXPECT_EQ(Commit(a, "d1").verdict, CommitVerdict::kFenced) << "it may not be shared";
  EXPECT_EQ(Observe().leased, 1U);
  EXPECT_EQ(Orphans(), "a>b;");
  EXPECT_EQ(TakeOver(b, 1, {Held("d1")}).verdict, TakeOverVerdict::kTaken);
  EXPECT_EQ(Observe().counted, 1U);
}

TEST_F(Parts, TheLastUpdateMayBeCountedByTheHeir) {
  Update(b, "d1");
  Update(a, "d2");
  SetHolders(a, {"b"});
  Reserve(a, "d3");
  Wait(store->Unregister(a));
  EventLog log(*store);
  TakeOver(b, 2, {Held("d3")});
  EXPECT_EQ(log.Await(1)[0], EventLog::Line(JobEvent::Kind::kCountedFull, 1));
  EXPECT_EQ(Observe().contributors.size(), 1U);
}

TEST_F(Parts, ACopyThatIsNotWhatIsCountedIsOfNoUse) {
  Update(a, "d1");
  SetHolders(a, {"b", "c"});
  Wait(store->Unregister(a));
  EXPECT_EQ(TakeOver(b, 2).verdict, TakeOverVerdict::kIncomplete);
  EXPECT_EQ(Orphans(), "a>c;");
  EXPECT_EQ(TakeOver(c, 1, {Held("d2")}).verdict, TakeOverVerdict::kIncomplete) << "d2 was never reserved";
  EXPECT_TRUE(Observe().contributor_lost);
}

TEST_F(Parts, HoldersAreSetByTheOwnerAlone) {
  Update(a, "d1");
  EXPECT_EQ(SetHolders(a, {"b", "nobody"}), SetHoldersVerdict::kNotListed);
  EXPECT_EQ(SetHolders(b, {"c"}), SetHoldersVerdict::kFenced);
  EXPECT_EQ(Wait(store->SetHolders(At(2), "a", a, {})), SetHoldersVerdict::kMoved);
  SetHolders(a, {"b"});
  const Node again = Register("a");
  EXPECT_EQ(SetHolders(a, {"c"}), SetHoldersVerdict::kNotListed) << "of an older epoch: it has a newer one";
  EXPECT_EQ(SetHolders(again, {"c"}), SetHoldersVerdict::kDone);
  Wait(store->Unregister(again));
  TakeOver(c, 1);
  EXPECT_EQ(SetHolders(c, {"b"}), SetHoldersVerdict::kDone);
}

TEST_F(Parts, AServerThatWasTakenForDeadCountsNothingMoreInThisIteration) {
  Update(a, "d1");
  SetHolders(a, {"b"});
  Call({"DEL", Key("alive:a")}).value();
  ASSERT_TRUE(Eventually([&] {
    Wait(store->Heartbeat(b, At(1)));
    Wait(store->Heartbeat(c, At(1)));
    return Orphans() == "a>b;";
  }));
  TakeOver(b, 1);
  const Node back = Wait(store->Heartbeat(a, At(1))).node;
  EXPECT_GT(back.epoch, a.epoch);
  EXPECT_EQ(Reserve(back, "d2").verdict, ReserveVerdict::kReserved);
  EXPECT_EQ(Commit(back, "d2").verdict, CommitVerdict::kFenced);
  EXPECT_EQ(Wait(store->YieldPart(At(1), "a")), YieldVerdict::kYielded);
  EXPECT_EQ(Orphans(), "");
}

TEST_F(Parts, OneThatHasSpoiltItsSumYieldsIt) {
  Update(a, "d1");
  EXPECT_EQ(Wait(store->YieldPart(At(1), "a")), YieldVerdict::kNoHeir);
  SetHolders(a, {"b"});
  EXPECT_EQ(Wait(store->YieldPart(At(2), "a")), YieldVerdict::kMoved);
  EXPECT_EQ(Wait(store->YieldPart(At(1), "a")), YieldVerdict::kYielded);
  EXPECT_EQ(Orphans(), "a>b;");
  EXPECT_EQ(TakeOver(b, 1).verdict, TakeOverVerdict::kTaken);
}

TEST_F(Parts, WithoutAHolderItIsLost) {
  Update(a, "d1");
  SetHolders(a, {"b"});
  Wait(store->Unregister(b));
  Wait(store->Unregister(a));
  EXPECT_TRUE(Observe().contributor_lost);
  EXPECT_EQ(Orphans(), "");
}

TEST_F(Parts, OneOnADiskIsClaimedByWhoFindsItThere) {
  Update(a, "d1");
  EXPECT_FALSE(Wait(store->ClaimPart(At(1), "a", b))) << "it is on no disk";
  SetHolders(a, {"disk"});
  Reserve(a, "d2");
  EXPECT_FALSE(Observe().contributor_lost);
  EXPECT_FALSE(Wait(store->ClaimPart(At(2), "a", b)));
  EXPECT_TRUE(Wait(store->ClaimPart(At(1), "a", b))) << "though the heartbeat of its process has not run out";
  EXPECT_EQ(Rows().nodes.count("a"), 0U);
  EXPECT_EQ(TakeOver(b, 2, {Held("d2")}).verdict, TakeOverVerdict::kTaken);
  EXPECT_EQ(Rows().round.at("holders:a"), "disk");
}

TEST_F(Parts, TheDiskOfOneThatIsGoneIsNoHolderOfItsHeirs) {
  Update(a, "d1");
  SetHolders(a, {"b", "disk"});
  Wait(store->Unregister(a));
  EXPECT_EQ(TakeOver(b, 1).verdict, TakeOverVerdict::kTaken);
  EXPECT_EQ(Rows().round.at("holders:a"), "");
  EXPECT_FALSE(Wait(store->ClaimPart(At(1), "a", c))) << "its heir is there";
  EXPECT_EQ(Rows().nodes.count("b"), 1U);
}

TEST_F(Parts, OneOnADiskIsWaitedForUntilNothingElseIs) {
  Update(a, "d1");
  SetHolders(a, {"disk"});
  Wait(store->Unregister(a));
  EXPECT_FALSE(Observe().contributor_lost);
  Update(b, "d2");
  Update(c, "d3");
  EXPECT_TRUE(Observe().contributor_lost);
}

}  // namespace
}  // namespace msfl::cache
