#include <cmath>
#include <limits>

#include "collective/cluster.h"

namespace msfl::collective {
namespace {

class CombineTest : public ClusterTest {
 protected:
  // Many small features, large ones of more than a chunk, some not aggregated, one that nobody sends.
  void SetMixedLayout() {
    std::vector<model::Feature> features;
    for (int i = 0; i < 60; ++i)
      features.push_back(Declare("t" + std::to_string(i), {1 + i % 7}, i % 9 != 4));
    features.push_back(Declare("large", {700'003}));
    features.push_back(Declare("frozen", {5'000}, false));
    features.push_back(Declare("middle", {77'777}));
    features.push_back(Declare("unsent", {30'000}));
    SetLayout(std::move(features));
  }
};

TEST_F(CombineTest, IntegersAreExactWhateverTheNumberOfMembers) {
  SetMixedLayout();
  const std::size_t count = layout->features().size();
  for (const std::size_t members : {1, 2, 3, 5}) {
    std::mt19937 random(static_cast<unsigned>(members));
    nodes.clear();
    StartNodes(members);
    std::vector<std::vector<double>> exact(count);
    std::vector<std::uint64_t> sizes(count, 0);
    for (std::size_t i = 0; i < count; ++i) exact[i].resize(layout->features()[i].elements, 0);
    for (std::size_t upload = 0; upload < members + 2; ++upload) {
      std::vector<std::vector<float>> values(count);
      const std::uint64_t data_size = 1 + random() % 1000;
      for (std::size_t i = 0; i < count; ++i) {
        if (layout->features()[i].name == "unsent" || random() % 4 == 0) continue;
        sizes[i] += data_size;
        values[i].resize(exact[i].size());
        for (std::size_t j = 0; j < values[i].size(); ++j) {
          values[i][j] = static_cast<float>(static_cast<int>(random() % (1U << 25)) - (1 << 24));
          exact[i][j] += values[i][j];
        }
      }
      Upload(upload % members, values, data_size);
    }
    const auto model = TheSame(CombineAll());
    ASSERT_NE(model, nullptr);
    for (std::size_t i = 0; i < count; ++i) {
      const auto values = model->values(i);
      const bool kept = !layout->features()[i].require_aggr || sizes[i] == 0;
      for (std::size_t j = 0; j < values.size(); ++j) {
        const float expected = kept ? std::as_const(*start).values(i)[j]
                                    : static_cast<float>(exact[i][j] / static_cast<double>(sizes[i]));
        ASSERT_EQ(values[j], expected) << members << ' ' << layout->features()[i].name << ' ' << j;
      }
    }
    EXPECT_EQ(std::memcmp(model->tail(false).bytes.data(), start->tail(false).bytes.data(),
                          layout->skeleton().size() + sizeof(std::uint32_t)),
              0);
  }
}

TEST_F(CombineTest, OneMemberGetsWhatItsSumAloneGives) {
  SetMixedLayout();
  StartNodes(1);
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (int upload = 0; upload < 7; ++upload) {
    std::vector<std::vector<float>> values(layout->features().size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (layout->features()[i].name == "unsent") continue;
      for (std::size_t j = 0; j < layout->features()[i].elements; ++j) values[i].push_back(normal(random));
    }
    Upload(0, values, 3);
  }
  const auto average = sums[0]->Average(*start, *pool);
  const auto model = TheSame(CombineAll());
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(
      std::memcmp(model->tail(false).bytes.data(), average->tail(false).bytes.data(), layout->tail_bytes()),
      0);
}

TEST_F(CombineTest, PrecisionBound) {
  constexpr std::size_t kElements = 5'000;
  SetLayout({Declare("a", {kElements})});
  for (const std::size_t members : {2, 5}) {
    nodes.clear();
    StartNodes(members);
    std::mt19937 random(1);
    std::vector<long double> exact(kElements), magnitude(kElements);
    std::uint64_t total = 0;
    for (std::size_t upload = 0; upload < 40; ++upload) {
      std::vector<float> values(kElements);
      for (std::size_t j = 0; j < kElements; ++j) {
        values[j] = std::ldexp(1.0F + static_cast<float>(random() % 1000) / 1001.0F,
                               static_cast<int>(random() % 60) - 30);
        if (random() % 2 == 0) values[j] = -values[j];
        exact[j] += values[j];
        magnitude[j] += std::fabs(values[j]);
      }
      const std::uint64_t data_size = 1 + random() % 100;
      total += data_size;
      Upload(upload % members, {values}, data_size);
    }
    const auto model = TheSame(CombineAll());
    ASSERT_NE(model, nullptr);
    const long double divisor = total;
    for (std::size_t j = 0; j < kElements; ++j)
      ASSERT_LE(std::fabs(model->values(0)[j] - exact[j] / divisor), std::ldexp(magnitude[j] / divisor, -22))
          << j;
  }
}

TEST_F(CombineTest, FewerElementsThanMembers) {
  for (const std::size_t scalars : {1, 3, 40}) {
    std::vector<model::Feature> features;
    for (std::size_t i = 0; i < scalars; ++i) features.push_back(Declare("s" + std::to_string(i), {}));
    SetLayout(std::move(features));
    nodes.clear();
    StartNodes(5);
    for (std::size_t node = 0; node < 5; ++node)
      Upload(node, std::vector<std::vector<float>>(scalars, {static_cast<float>(node)}), 1);
    const auto model = TheSame(CombineAll());
    ASSERT_NE(model, nullptr);
    for (std::size_t i = 0; i < scalars; ++i) EXPECT_EQ(Values(*model, i), std::vector<float>{2});
  }
}

TEST_F(CombineTest, NothingToAggregate) {
  SetLayout({Declare("frozen", {3}, false)});
  StartNodes(3);
  const auto model = TheSame(CombineAll());
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(Values(*model, 0), Values(*start, 0));
}

TEST_F(CombineTest, AMemberWithoutUploadsAddsNothing) {
  SetLayout({Declare("a", {1000})});
  StartNodes(3);
  Upload(1, {std::vector<float>(1000, 6)}, 3);
  const auto model = TheSame(CombineAll());
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(Values(*model, 0), std::vector<float>(1000, 2));
}

TEST_F(CombineTest, AnAverageThatIsNotFiniteFailsForAll) {
  SetLayout({Declare("a", {300'000})});
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const std::size_t at : {std::size_t{5}, std::size_t{150'000}, std::size_t{299'999}}) {
      nodes.clear();
      StartNodes(3);
      std::vector<float> values(300'000, 1);
      Upload(0, {values}, 1);
      values[at] = bad;
      Upload(1, {values}, 1);
      for (const ModelResult& result : CombineAll()) {
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, Errc::kNotFinite) << result.error().text;
      }
    }
  }
}

TEST_F(CombineTest, ManyIterationsOnTheSameConnections) {
  SetLayout({Declare("a", {1000}), Declare("b", {})});
  StartNodes(3);
  for (iteration = 1; iteration <= 50; ++iteration) {
    NewSums();
    for (std::size_t node = 0; node < 3; ++node)
      Upload(node, {std::vector<float>(1000, static_cast<float>(iteration)), {1}}, 1);
    const auto model = TheSame(CombineAll());
    ASSERT_NE(model, nullptr);
    ASSERT_EQ(Values(*model, 0), std::vector<float>(1000, static_cast<float>(iteration)));
    for (const auto& node : nodes) node->exchange->Leave(kInstance, iteration);
  }
  for (const auto& node : nodes) EXPECT_LE(node->server->connections(), 4U);
}

TEST_F(CombineTest, AveragesStayForSlowerMembersUntilTheNextCombination) {
  SetLayout({Declare("a", {10})});  // S1 owns all of it
  StartNodes(2);
  for (std::size_t node = 0; node < 2; ++node) Upload(node, {std::vector<float>(10, 1)}, 1);
  ASSERT_NE(TheSame(CombineAll()), nullptr);
  nodes[0]->exchange->Leave(kInstance, iteration);
  const CombineRequest slower = Request(1);
  const ModelResult kept = nodes[1]->Combine(slower).get();
  ASSERT_TRUE(kept) << kept.error().text;
  EXPECT_EQ(Values(**kept, 0), std::vector<float>(10, 1));

  ++iteration;
  auto next = nodes[0]->Combine(Request(0));
  ModelResult gone = nodes[1]->Combine(slower).get();
  while (gone) gone = nodes[1]->Combine(slower).get();  // the next one has not begun yet
  EXPECT_EQ(gone.error().code, Errc::kPeerRefused);
  EXPECT_NE(gone.error().text.find("has left iteration 1"), std::string::npos) << gone.error().text;
  const ModelResult joined = nodes[1]->Combine(Request(1)).get();
  EXPECT_TRUE(joined) << joined.error().text;
  EXPECT_TRUE(next.get());
}

TEST_F(CombineTest, ACombinationMayBeRepeated) {
  SetLayout({Declare("a", {5000})});
  StartNodes(2);
  for (std::size_t node = 0; node < 2; ++node) Upload(node, {std::vector<float>(5000, 1)}, 1);
  ASSERT_NE(TheSame(CombineAll()), nullptr);
  const ModelResult again = nodes[1]->Combine(Request(1)).get();
  EXPECT_TRUE(again) << again.error().text;
}

TEST_F(CombineTest, LateUploadsAreToldSo) {
  SetLayout({Declare("a", {1})});
  StartNodes(2);
  Upload(0, {{4}}, 2);
  ASSERT_NE(TheSame(CombineAll()), nullptr);
  const float value = 9;
  const std::vector<model::Contribution> upload{{0, &value}};
  const model::RunningSum::Addition late(*sums[0], upload, 1);
  EXPECT_TRUE(late.late());
  EXPECT_EQ(sums[0]->uploads(), 1U);
}

}  // namespace
}  // namespace msfl::collective
