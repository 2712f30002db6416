// Which nodes hold the sums of an iteration.
#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

class Contributors : public StoreFixture {
 protected:
  Contributors() {
    Open();
    for (const char* fl_id : {"d1", "d2", "d3"}) Join(fl_id);
    a = Wait(store->Register("a", "10.0.0.1:7001", "http://10.0.0.1:6666/", At(1), "")).node;
    b = Wait(store->Register("b", "10.0.0.2:7002", "", At(1), "")).node;
  }
  void Update(const Node& node, const std::string& fl_id) {
    EXPECT_EQ(Reserve(node, fl_id).verdict, ReserveVerdict::kReserved);
    EXPECT_EQ(Commit(node, fl_id).verdict, CommitVerdict::kCounted);
  }
  static std::string Text(const Snapshot& seen) {
    std::string text;
    for (const Contributor& one : seen.contributors) {
      text += one.node_id + " " + one.tcp_address + " " + std::to_string(one.counted) + ";";
    }
    return text;
  }
  Node a, b;
};

TEST_F(Contributors, AreListedWhenEveryUpdateIsCounted) {
  Register("c");  // counts nothing
  Update(b, "d1");
  EXPECT_EQ(Text(Observe()), "");
  Update(a, "d2");
  EXPECT_EQ(Text(Observe()), "a 10.0.0.1:7001 1;b 10.0.0.2:7002 1;");
  EXPECT_EQ(Text(Observe(7)), "a 10.0.0.1:7001 1;b 10.0.0.2:7002 1;");  // the current one is found
  EXPECT_FALSE(Observe().contributor_lost);
}

TEST_F(Contributors, OneMayHoldAll) {
  Update(a, "d1");
  Update(a, "d2");
  EXPECT_EQ(Text(Observe()), "a 10.0.0.1:7001 2;");
}

TEST_F(Contributors, WhoHasLeftIsMissed) {
  Update(a, "d1");
  Update(b, "d2");
  Wait(store->Unregister(a));
  const Snapshot seen = Observe();
  EXPECT_TRUE(seen.contributor_lost);
  EXPECT_EQ(Text(seen), "b 10.0.0.2:7002 1;");
}

TEST_F(Contributors, TheTargetTakesTheThresholdsPlace) {
  JobStoreOptions options = DefaultOptions();
  options.thresholds.update_model = 3;
  store->SetRules(options.windows, options.thresholds, options.iterations);
  Update(a, "d1");
  Update(b, "d2");
  EXPECT_EQ(Text(Observe()), "");
  Call({"HSET", Key("i_1:1:round"), "target", "2"}).value();
  EXPECT_EQ(Text(Observe()), "a 10.0.0.1:7001 1;b 10.0.0.2:7002 1;");
}

TEST_F(Contributors, AreThoseOfTheCurrentIteration) {
  Update(a, "d1");
  Update(b, "d2");
  Wait(store->Advance(At(1), true, "done", ""));
  EXPECT_EQ(Text(Observe(1)), "");
}

}  // namespace
}  // namespace msfl::cache
