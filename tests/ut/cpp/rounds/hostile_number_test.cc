// NaN and infinities anywhere in a message.
#include <cmath>

#include "rounds/hostile_fixture.h"

namespace msfl::rounds {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Quiet and signalling, of both signs, and with nothing but the lowest bit.
std::vector<float> NotFinite() {
  std::vector<float> values;
  for (const std::uint32_t bits :
       {0x7FC00000U, 0xFFC00000U, 0x7FA00000U, 0x7F800001U, 0xFF800001U, 0x7F800000U, 0xFF800000U}) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    values.push_back(value);
  }
  return values;
}

class HostileNumber : public HostileTest {};

TEST_F(HostileNumber, InAWeightWhereverItStands) {
  elements_of_a_ = 70'000;  // 280 kB: more than one piece of a body
  Serve();
  JoinBoth();
  Bytes8 body = GoodUpload("h", 40);
  const auto* message = flatbuffers::GetRoot<schema::RequestUpdateModel>(body.data());
  const auto* data = message->feature_map()->Get(0)->data();
  ASSERT_EQ(data->size(), 70'000U);
  const auto begin =
      static_cast<std::size_t>(reinterpret_cast<const std::uint8_t*>(data->data()) - body.data());
  std::vector<std::size_t> elements{0, 1, 35'000, 69'998, 69'999};
  // The blocks of the body that are scanned by themselves, and the pieces in which it is read.
  for (const std::size_t border :
       {std::size_t{NonFiniteMap::kBlockBytes}, std::size_t{2 * NonFiniteMap::kBlockBytes},
        std::size_t{16 * 1024}, std::size_t{64 * 1024}, std::size_t{256 * 1024}}) {
    const std::size_t at = (border - begin) / sizeof(float);
    elements.insert(elements.end(), {at - 1, at, at + 1});
  }
  const std::vector<float> values = NotFinite();
  for (std::size_t i = 0; i < elements.size(); ++i) {
    Bytes8 bad = body;
    std::memcpy(bad.data() + begin + elements[i] * sizeof(float), &values[i % values.size()], sizeof(float));
    ExpectUpdate(bad, 400, kContentReason);
  }
  Finish();
}

TEST_F(HostileNumber, OfEveryKindInEveryFeature) {
  Serve();
  JoinBoth();
  for (const float value : NotFinite()) {
    for (int place = 0; place < 4; ++place) {
      Upload upload;
      if (place < 3) {
        (*upload.features)[0].second[static_cast<std::size_t>(place)] = value;
      } else {
        upload.features->push_back({"z", {1, value}});  // not even aggregated
      }
      ExpectUpdate(upload.Build(), 400, kContentReason);
    }
  }
  Finish();
}

TEST_F(HostileNumber, InLossAccuracyOrEvaluationData) {
  Serve();
  JoinBoth();
  for (const float value : NotFinite()) {
    Upload loss, accuracy, first, last;
    loss.loss = value;
    accuracy.accuracy = value;
    first.evaluation = {{"one", {value, 1}}, {"two", {1}}};
    last.evaluation = {{"one", {1, 1}}, {"two", std::vector<float>(3000, 1)}};
    last.evaluation[1].second.back() = value;
    for (const Upload& upload : {loss, accuracy, first, last}) {
      ExpectUpdate(upload.Build(), 400, kFieldsReason);
    }
  }
  Finish();
}

// Bytes that look like no number, in a place that holds none, harm nobody.
TEST_F(HostileNumber, WhereNoNumberStands) {
  Serve();
  JoinBoth();
  Upload upload;
  upload.timestamp = std::string(64, '\xFF');
  ExpectUpdate(upload.Build(), 200, "success not ready");
  FinishWith(10, 1);
}

TEST_F(HostileNumber, AsTheSumOfUpdatesThatAreFinite) {
  Serve();
  JoinBoth();
  Upload upload;
  const float most = std::numeric_limits<float>::max();
  upload.features = {{{"a", {most, -most, most}}}};
  ExpectUpdate(upload.Build(), 200, "success not ready");
  ExpectUpdate(UpdateRequest("d", 1, {{"a", {most, -most, -most}}, {"s", {30}}}), 200, "success not ready");
  AwaitIteration(2);
  const auto answer = StartJob("later");
  const Weights weights = Values(answer->feature_map());
  EXPECT_FLOAT_EQ(weights.at("a")[0], static_cast<float>(2.0 * static_cast<double>(most) / 40));
  EXPECT_FLOAT_EQ(weights.at("a")[1], static_cast<float>(-2.0 * static_cast<double>(most) / 40));
  EXPECT_EQ(weights.at("a")[2], 0);
  EXPECT_EQ(weights.at("s")[0], 1);
  EXPECT_LT(weights.at("a")[0], kInfinity);
}

}  // namespace
}  // namespace msfl::rounds
