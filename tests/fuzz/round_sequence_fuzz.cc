// Several requests of several devices, one after another, and what others do to the job meanwhile: small
// thresholds, so that iterations end, models follow each other and the job finishes; "not ready" is held.
//
// The input is a list of steps. A step begins with a byte that chooses it; messages are either given as they
// are (two bytes of length, then the bytes) or built from a few bytes that choose each field.
#include <array>
#include <cfloat>
#include <cmath>
#include <limits>

#include "schema/fl_job_generated.h"
#include "served_rounds.h"

namespace {

namespace schema = mindspore_federated::schema;
using msfl::fuzz::Bytes;
using msfl::fuzz::ByteView;
using msfl::fuzz::Cache;
using msfl::fuzz::ServedRounds;
using Builder = flatbuffers::FlatBufferBuilder;

class Choices {
 public:
  explicit Choices(ByteView bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  std::uint8_t Byte() {
    if (bytes_.empty()) return 0;
    const std::uint8_t byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte;
  }
  ByteView Run() {
    std::size_t size = Byte();
    size |= static_cast<std::size_t>(Byte()) << 8U;
    const ByteView run = bytes_.first(std::min(size, bytes_.size()));
    bytes_ = bytes_.subspan(run.size());
    return run;
  }
  float Number() {
    static const std::array<float, 16> kNumbers{0,           -0.0F,  1,        -1,       0.5F,    16777216,
                                                1e-3F,       -7.25F, 1e30F,    -1e30F,   FLT_MAX, -FLT_MAX,
                                                FLT_MIN / 2, NAN,    INFINITY, -INFINITY};
    const std::uint8_t choice = Byte();
    return choice < 240 ? kNumbers[choice % 13] : kNumbers[choice - 240];
  }
  std::int32_t Whole() {
    static constexpr std::array<std::int32_t, 8> kNumbers{0, 1, 65535, 65536, -1, INT32_MAX, INT32_MIN, 10};
    const std::uint8_t choice = Byte();
    return choice < 8 ? kNumbers[choice] : choice;
  }
  // The running iteration, one beside it, or anything.
  std::int32_t Iteration() {
    const std::uint8_t choice = Byte();
    const auto current = static_cast<std::int32_t>(Cache().iteration);
    return choice < 128 ? current + (choice % 4 == 3 ? -1 : choice % 4 == 2 ? 1 : 0) : Whole();
  }

 private:
  ByteView bytes_;
};

using TextOffset = flatbuffers::Offset<flatbuffers::String>;

TextOffset DeviceName(Builder& builder, Choices& choices) {
  const std::uint8_t choice = choices.Byte();
  if (choice == 255) return 0;
  if (choice == 254) return builder.CreateString("");
  if (choice == 253) return builder.CreateString(std::string(100'000, 'x'));
  return builder.CreateString("device " + std::to_string(choice % 4));
}

TextOffset Present(Builder& builder, bool present) {
  return present ? builder.CreateString("1") : TextOffset();
}

Bytes Done(Builder& builder) {
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

Bytes BuildStart(Choices& choices) {
  Builder builder;
  const auto id = DeviceName(builder, choices);
  const std::uint8_t present = choices.Byte();
  const auto name = Present(builder, present != 255), time = Present(builder, present != 254);
  const std::int32_t iteration = choices.Iteration(), data_size = choices.Whole();
  builder.Finish(schema::CreateRequestFLJob(builder, name, id, iteration, data_size, time, 0, 0, 0, 0, 0, 0,
                                            choices.Whole()));
  return Done(builder);
}

flatbuffers::Offset<schema::FeatureMap> BuildFeature(Builder& builder, Choices& choices) {
  static constexpr std::array<std::pair<const char*, std::size_t>, 6> kFeatures{
      {{"a", 3}, {"layer.weight", 40}, {"s", 1}, {"z", 2}, {"other", 1}, {"", 0}}};
  const std::uint8_t choice = choices.Byte();
  const auto& [name, elements] = kFeatures[choice % kFeatures.size()];
  const auto text = choice >= 252 ? TextOffset() : builder.CreateString(name);
  const std::size_t size = choice >= 240 ? elements + 1 : elements;
  std::vector<float> values(size, choices.Number());
  if (size > 0) values[choice % size] = choices.Number();
  return schema::CreateFeatureMap(builder, text, builder.CreateVector(values));
}

Bytes BuildUpdate(Choices& choices) {
  Builder builder;
  const auto id = DeviceName(builder, choices);
  const std::uint8_t present = choices.Byte();
  const auto time = Present(builder, present != 255);
  std::vector<flatbuffers::Offset<schema::FeatureMap>> features;
  for (int left = choices.Byte() % 6; left > 0; --left) features.push_back(BuildFeature(builder, choices));
  // The same table more than once, as no builder of ours would write it.
  if (present == 254 && !features.empty()) features.push_back(features.front());
  const auto map = builder.CreateVector(features);
  flatbuffers::Offset<schema::UnsupervisedEvalItems> evaluation;
  if (present >= 200 && present < 254) {
    std::vector<flatbuffers::Offset<schema::UnsupervisedEvalItem>> items;
    for (int left = present % 4; left > 0; --left) {
      const std::vector<float> values(choices.Byte(), choices.Number());
      const auto name = builder.CreateString("item");
      items.push_back(schema::CreateUnsupervisedEvalItem(builder, name, builder.CreateVector(values)));
    }
    evaluation = schema::CreateUnsupervisedEvalItems(builder, builder.CreateVector(items));
  }
  schema::RequestUpdateModelBuilder request(builder);
  if (!id.IsNull()) request.add_fl_id(id);
  request.add_iteration(choices.Iteration());
  if (present != 253) request.add_feature_map(map);
  if (!time.IsNull()) request.add_timestamp(time);
  const std::uint8_t kind = choices.Byte();
  if (kind >= 250) request.add_upload_compress_type(static_cast<schema::CompressType>(kind - 250));
  if (kind == 249) request.add_sign(choices.Whole());
  request.add_upload_loss(choices.Number());
  request.add_upload_accuracy(choices.Number());
  if (!evaluation.IsNull()) request.add_unsupervised_eval_items(evaluation);
  builder.Finish(request.Finish());
  return Done(builder);
}

Bytes BuildGet(Choices& choices, bool result) {
  Builder builder;
  const std::int32_t iteration = choices.Iteration();
  if (result) {
    builder.Finish(schema::CreateRequestGetResult(builder, 0, iteration));
  } else {
    builder.Finish(schema::CreateRequestGetModel(builder, 0, iteration));
  }
  return Done(builder);
}

void Step(ServedRounds& served, Choices& choices) {
  static constexpr std::array<const char*, 4> kRounds{"startFLJob", "updateModel", "getModel", "getResult"};
  const std::uint8_t step = choices.Byte();
  const std::size_t round = step % 4;
  if (step < 32) return served.Ask(kRounds[round], choices.Run());
  if (step >= 250) return served.EndIterationAsFailed();
  if (step >= 245) return served.Disable();
  if (step >= 240) return served.Enable();
  Bytes message;
  if (round == 0) message = BuildStart(choices);
  if (round == 1) message = BuildUpdate(choices);
  if (round >= 2) message = BuildGet(choices, round == 3);
  if (step >= 236) return served.FindNoRoom(kRounds[round], message);
  served.Ask(kRounds[round], message);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr int kMostSteps = 64;
  static auto* const served = [] {
    msfl::fuzz::RoundRules rules;
    rules.start_threshold = 3;
    rules.update_threshold = 2;
    rules.hold_ms = 600'000;
    return new ServedRounds(rules);
  }();
  served->Begin(false);
  Choices choices({data, size});
  for (int step = 0; step < kMostSteps && !choices.empty(); ++step) Step(*served, choices);
  return 0;
}
