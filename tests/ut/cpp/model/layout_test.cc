#include "model/layout.h"

#include <gtest/gtest.h>

#include "model/make_model.h"

namespace msfl::model {
namespace {

std::string Refusal(std::vector<Feature> features) {
  const auto layout = Layout::Make(std::move(features));
  if (layout) return "accepted";
  EXPECT_EQ(layout.error().code, Errc::kInvalidArgument);
  return layout.error().text;
}

TEST(Layout, SortsByBytesOfTheNames) {
  const auto layout = MakeLayout({Declare("b", {2}), Declare("\xC3\xA4", {1}), Declare("B", {3}),
                                  Declare("a.10", {1}), Declare("a.2", {1}), Declare("a", {1})});
  std::vector<std::string> names;
  for (const Feature& feature : layout->features()) names.push_back(feature.name);
  EXPECT_EQ(names, (std::vector<std::string>{"B", "a", "a.10", "a.2", "b", "\xC3\xA4"}));
}

TEST(Layout, FlatRangeHoldsAggregatedFeaturesOnly) {
  const auto layout =
      MakeLayout({Declare("a", {2, 3}), Declare("b", {5}, false), Declare("c", {}), Declare("d", {4, 1})});
  EXPECT_EQ(layout->aggregated_elements(), 11U);
  EXPECT_EQ(layout->total_elements(), 16U);
  EXPECT_EQ(layout->features()[0].sum_offset, 0U);
  EXPECT_EQ(layout->features()[2].sum_offset, 6U);
  EXPECT_EQ(layout->features()[2].elements, 1U);
  EXPECT_EQ(layout->features()[3].sum_offset, 7U);
}

TEST(Layout, NonAggregatedFloatsLieAtTheEndOfTheTail) {
  const auto layout = MakeLayout({Declare("a", {5}, false), Declare("b", {3})});
  const Feature& other = layout->features()[0];
  const Feature& aggregated = layout->features()[1];
  EXPECT_EQ(aggregated.tail_offset + 3 * sizeof(float), layout->aggregated_tail_bytes());
  EXPECT_EQ(other.tail_offset, layout->aggregated_tail_bytes() + 4);
  EXPECT_EQ(other.tail_offset + 5 * sizeof(float), layout->tail_bytes());
  EXPECT_NE(layout->all_vector_offset(), layout->aggregated_vector_offset());
}

TEST(Layout, OneVectorIfAllAreAggregated) {
  const auto layout = MakeLayout({Declare("a", {5}), Declare("b", {3})});
  EXPECT_EQ(layout->all_vector_offset(), layout->aggregated_vector_offset());
  EXPECT_EQ(layout->tail_bytes(), layout->aggregated_tail_bytes());
}

TEST(Layout, FindsEveryNameAndNoOther) {
  std::vector<Feature> features;
  for (int i = 0; i < 3000; ++i)
    features.push_back(Declare("layer." + std::to_string(i) + ".weight", {1 + i % 3}));
  const auto layout = MakeLayout(std::move(features));
  for (std::size_t i = 0; i < layout->features().size(); ++i) {
    EXPECT_EQ(layout->Find(layout->features()[i].name), i);
  }
  for (const std::string_view name :
       {"", "layer.3000.weight", "layer.1", "LAYER.1.weight", "layer.1.weight "}) {
    EXPECT_EQ(layout->Find(name), std::nullopt) << name;
  }
}

TEST(Layout, FindsNamesWithZeroBytes) {
  const std::string with_zero("a\0b", 3);
  const auto layout = MakeLayout({Declare("a", {1}), Declare(with_zero, {1})});
  EXPECT_EQ(layout->Find("a"), 0U);
  EXPECT_EQ(layout->Find(with_zero), 1U);
}

TEST(Layout, OutlivesAnyReferenceToItsInput) {
  std::shared_ptr<const Layout> layout;
  {
    std::vector<Feature> features{Declare("short", {1}), Declare(std::string(100, 'x'), {2})};
    layout = MakeLayout(features);
    features[0].name = "changed";
  }
  EXPECT_EQ(layout->Find("short"), 0U);
  EXPECT_EQ(layout->Find(std::string(100, 'x')), 1U);
}

TEST(Layout, RefusesWhatNoModelCanBe) {
  EXPECT_EQ(Refusal({}), "the model has no feature; it needs at least one");
  EXPECT_EQ(Refusal({Declare("a", {1}), Declare("", {1})}), "a feature has an empty name");
  EXPECT_EQ(Refusal({Declare("a", {1}), Declare("b", {1}), Declare("a", {2})}),
            "feature 'a' appears more than once");
  EXPECT_EQ(Refusal({Declare("conv", {3, 0, 5})}),
            "feature 'conv' has the shape (3, 0, 5); every dimension has to be at least 1");
  EXPECT_EQ(Refusal({Declare("conv", {-3, -5})}),
            "feature 'conv' has the shape (-3, -5); every dimension has to be at least 1");
}

TEST(Layout, RefusesWhatNoMessageCanCarry) {
  const std::string end =
      " brings the model beyond 2147418110 bytes, which is all that one message can carry";
  EXPECT_EQ(Refusal({Declare("big", {1 << 29})}), "feature 'big' of shape (536870912)" + end);
  // The product of the dimensions passes 2^64.
  EXPECT_EQ(Refusal({Declare("big", {std::int64_t{1} << 40, std::int64_t{1} << 40})}),
            "feature 'big' of shape (1099511627776, 1099511627776)" + end);
  EXPECT_EQ(Refusal({Declare("a", {1 << 28}), Declare("b", {1 << 28}), Declare("c", {1})}),
            "feature 'b' of shape (268435456)" + end);
  EXPECT_EQ(Refusal({Declare("a", {(1 << 29) - 20000})}), "accepted");
}

}  // namespace
}  // namespace msfl::model
