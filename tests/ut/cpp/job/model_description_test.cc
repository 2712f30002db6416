#include "job/model_description.h"

#include <gtest/gtest.h>

namespace msfl::job {
namespace {

using model::Feature;
using model::Layout;

std::shared_ptr<const Layout> MakeLayout(std::vector<std::tuple<std::string, std::size_t, bool>> rows) {
  std::vector<Feature> features;
  for (const auto& [name, elements, require_aggr] : rows) {
    Feature feature;
    feature.name = name;
    feature.elements = elements;
    feature.shape = {static_cast<std::int64_t>(elements)};
    feature.require_aggr = require_aggr;
    features.push_back(feature);
  }
  return *Layout::Make(features);
}

std::string Complaint(const Layout& mine, const Layout& published) {
  const Result<void> compared = CompareModelDescription(mine, EncodeModelDescription(published));
  return compared ? "" : compared.error().text;
}

TEST(ModelDescriptionTest, TheSameModelAgrees) {
  const auto layout = MakeLayout({{"a", 3, true}, {"b", 1, false}});
  EXPECT_EQ(Complaint(*layout, *layout), "");
}

TEST(ModelDescriptionTest, NamesTheFirstDifferenceInTheSpecifiedWords) {
  const auto published = MakeLayout({{"a", 6, true}, {"b", 1, false}});
  EXPECT_EQ(Complaint(*MakeLayout({{"a", 6, true}}), *published),
            "The number 1 of local features != the number 2 declared in the the distributed cache");
  EXPECT_EQ(Complaint(*MakeLayout({{"a", 6, true}, {"c", 1, false}}), *published),
            "The features are inconsistent with that declared in distributed cache: cannot find feature b in "
            "local");
  EXPECT_EQ(Complaint(*MakeLayout({{"a", 3, true}, {"b", 1, false}}), *published),
            "The feature size 12 of local != that 24 declared in the distributed cache, feature: a");
  EXPECT_EQ(Complaint(*MakeLayout({{"a", 6, true}, {"b", 1, true}}), *published),
            "The feature require_aggr 1 of local != that 0 declared in the distributed cache, feature: b");
}

TEST(ModelDescriptionTest, ADamagedRecordIsAnErrorAndNoCrash) {
  const auto layout = MakeLayout({{"a", 3, true}});
  const std::string good = EncodeModelDescription(*layout);
  for (std::size_t length = 0; length < good.size(); ++length) {
    CompareModelDescription(*layout, good.substr(0, length)).has_value();
  }
  EXPECT_FALSE(CompareModelDescription(*layout, ""));
}

}  // namespace
}  // namespace msfl::job
