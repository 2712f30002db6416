// getModel and getResult, which differ in the answer only: the body of one request, asked when four models
// were made, three of which are kept.
#include "schema/fl_job_generated.h"
#include "served_rounds.h"

namespace {

namespace schema = mindspore_federated::schema;
using msfl::fuzz::ServedRounds;

void Upload(ServedRounds& served, int iteration) {
  flatbuffers::FlatBufferBuilder builder;
  const auto name = builder.CreateString("a"), id = builder.CreateString("d"),
             time = builder.CreateString("1");
  const std::vector<float> values(3, 1000.5F * static_cast<float>(iteration));
  const std::vector<flatbuffers::Offset<schema::FeatureMap>> features{
      schema::CreateFeatureMap(builder, name, builder.CreateVector(values))};
  const auto map = builder.CreateVector(features);
  builder.Finish(schema::CreateRequestUpdateModel(builder, 0, id, iteration, map, time));
  served.Ask("updateModel", {builder.GetBufferPointer(), builder.GetSize()});
}

ServedRounds* InIterationFive() {
  msfl::fuzz::RoundRules rules;
  rules.start_threshold = rules.update_threshold = 1;
  auto* const served = new ServedRounds(rules);
  served->Begin(true);
  for (int iteration = 1; iteration < 5; ++iteration) Upload(*served, iteration);
  msfl::fuzz::Promise(msfl::fuzz::Cache().iteration == 5, "each upload makes a model");
  return served;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static auto* const served = InIterationFive();
  for (const char* round : {"getModel", "getResult"}) served->Ask(round, {data, size});
  return 0;
}
