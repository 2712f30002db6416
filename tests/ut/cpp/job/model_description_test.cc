#include "job/model_description.h"

#include <gtest/gtest.h>

#include <algorithm>

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
  const Result<void> compared = CompareModelDescription(mine.features(), EncodeModelDescription(published));
  return compared ? "" : compared.error().text;
}

TEST(ModelDescriptionTest, TheSameModelAgrees) {
  const auto layout = MakeLayout({{"a", 3, true}, {"b", 1, false}});
  EXPECT_EQ(Complaint(*layout, *layout), "");
}

TEST(ModelDescriptionTest, NamesTheFirstDifferenceInTheSpecifiedWords) {
  const auto published = MakeLayout({{"a", 6, true}, {"b", 1, false}});
  const auto begin = [&](const Layout& mine) {
    const std::string complaint = Complaint(mine, *published);
    return complaint.substr(0, complaint.find(". What differs:\n"));
  };
  EXPECT_EQ(begin(*MakeLayout({{"a", 6, true}})),
            "The number 1 of local features != the number 2 declared in the the distributed cache");
  EXPECT_EQ(begin(*MakeLayout({{"a", 6, true}, {"c", 1, false}})),
            "The features are inconsistent with that declared in distributed cache: cannot find feature b in "
            "local");
  EXPECT_EQ(begin(*MakeLayout({{"a", 3, true}, {"b", 1, false}})),
            "The feature size 12 of local != that 24 declared in the distributed cache, feature: a");
  EXPECT_EQ(begin(*MakeLayout({{"a", 6, true}, {"b", 1, true}})),
            "The feature require_aggr 1 of local != that 0 declared in the distributed cache, feature: b");
  EXPECT_EQ(CompareModelDescription({}, EncodeModelDescription(*published)).error().text.substr(0, 82),
            "The number 0 of local features != the number 2 declared in the the distributed cac");
}

TEST(ModelDescriptionTest, ListsEveryFeatureThatDiffers) {
  const auto published = MakeLayout({{"a", 6, true}, {"b", 1, false}, {"c", 2, true}, {"d", 2, true}});
  const auto mine = MakeLayout({{"a", 3, true}, {"b", 1, true}, {"c", 2, true}, {"e", 9, false}});
  const std::string complaint = Complaint(*mine, *published);
  EXPECT_EQ(
      complaint.substr(complaint.find('\n')),
      "\n  a: local 12 bytes, shape (3), require_aggr true; declared 24 bytes, shape (6), require_aggr true"
      "\n  b: local 4 bytes, shape (1), require_aggr true; declared 4 bytes, shape (1), require_aggr false"
      "\n  d: local missing; declared 8 bytes, shape (2), require_aggr true"
      "\n  e: local 36 bytes, shape (9), require_aggr false; declared missing");
}

TEST(ModelDescriptionTest, ALongListIsCut) {
  std::vector<std::tuple<std::string, std::size_t, bool>> rows;
  for (int i = 100; i < 150; ++i) rows.emplace_back("layer" + std::to_string(i), 1, true);
  const std::string complaint = Complaint(*MakeLayout({{"layer100", 1, true}}), *MakeLayout(rows));
  EXPECT_EQ(std::count(complaint.begin(), complaint.end(), '\n'), 21);
  EXPECT_NE(complaint.find("\n  layer120: "), std::string::npos);
  EXPECT_EQ(complaint.find("layer121"), std::string::npos);
  EXPECT_EQ(complaint.substr(complaint.rfind('\n')), "\n  and 29 more");
}

TEST(ModelDescriptionTest, ADamagedRecordIsAnErrorAndNoCrash) {
  const auto layout = MakeLayout({{"a", 3, true}});
  const std::string good = EncodeModelDescription(*layout);
  for (std::size_t length = 0; length < good.size(); ++length) {
    CompareModelDescription(layout->features(), good.substr(0, length)).has_value();
  }
  EXPECT_FALSE(CompareModelDescription(layout->features(), ""));
}

}  // namespace
}  // namespace msfl::job
