#include "load/device_messages.h"

#include <flatbuffers/flatbuffers.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "load/answer.h"
#include "model/answer_head.h"
#include "schema/fl_job_generated.h"

namespace msfl::load {

namespace schema = mindspore_federated::schema;

namespace {

constexpr const char* kJob = "bench";  // Servers compare it with nothing

Error Unusable(const std::string& what) {
  return {Errc::kInvalidArgument, "the answer of startFLJob " + what + ", so there is nothing to upload"};
}

// What this feature's uploads are multiplied with to leave the job's model as it is (rounds.md, section 6).
float Factor(const std::string& name, const schema::FLPlan* plan, std::int32_t data_size) {
  const schema::Aggregation* aggregation = plan == nullptr ? nullptr : plan->aggregation();
  if (aggregation != nullptr && aggregation->type() == schema::AggregationType::FedNova) return 0;
  if (aggregation != nullptr && aggregation->type() == schema::AggregationType::Scaffold &&
      name.starts_with("control.")) {
    return 0;
  }
  return static_cast<float>(data_size);
}

// The body of an upload without its weights.
std::vector<std::uint8_t> UpdateHead(const std::string& fl_id, const std::string& now, std::int32_t iteration,
                                     const model::Model::Tail& tail) {
  flatbuffers::FlatBufferBuilder builder(256);
  const auto job = builder.CreateString(kJob);
  const auto id = builder.CreateString(fl_id);
  const auto timestamp = builder.CreateString(now);
  schema::RequestUpdateModelBuilder update(builder);
  update.add_fl_name(job);
  update.add_fl_id(id);
  update.add_iteration(iteration);
  update.add_timestamp(timestamp);
  update.add_upload_loss(0.5F);
  model::MarkTail(builder, schema::RequestUpdateModel::VT_FEATURE_MAP);
  builder.Finish(update.Finish());
  return model::SealHead(builder, schema::RequestUpdateModel::VT_FEATURE_MAP, tail);
}

}  // namespace

DeviceMessages::DeviceMessages(std::string run, std::int32_t data_size)
    : run_(std::move(run)), data_size_(data_size) {}

Result<void> DeviceMessages::Learn(std::span<const std::uint8_t> body) {
  // The verifier takes no longer ones.
  if (body.size() > kMaxAnswerBytes) return Unusable("is too long");
  flatbuffers::Verifier verifier(body.data(), body.size());
  if (!verifier.VerifyBuffer<schema::ResponseFLJob>(nullptr)) return Unusable("is damaged");
  const auto* answer = flatbuffers::GetRoot<schema::ResponseFLJob>(body.data());
  const auto* sent = answer->feature_map();
  if (sent == nullptr || sent->size() == 0) return Unusable("holds no uncompressed model");
  std::vector<model::Feature> features;
  for (const schema::FeatureMap* feature : *sent) {
    if (feature->weight_fullname() == nullptr || feature->data() == nullptr) {
      return Unusable("has a feature without name or values");
    }
    model::Feature declared;
    declared.name = feature->weight_fullname()->str();
    declared.shape = {static_cast<std::int64_t>(feature->data()->size())};
    features.push_back(std::move(declared));
  }
  auto layout = model::Layout::Make(std::move(features));
  if (!layout) return Unusable("has no model that could be sent: " + layout.error().text);
  const auto upload = model::Model::Make(*layout, *pool_);
  for (const schema::FeatureMap* feature : *sent) {
    const std::string name = feature->weight_fullname()->str();
    const float factor = Factor(name, answer->fl_plan_config(), data_size_);
    std::ranges::transform(*feature->data(), upload->values(*(*layout)->Find(name)).begin(),
                           [factor](float value) { return factor * value; });
  }
  upload_ = upload;
  return {};
}

Request DeviceMessages::Make(Round round, const Target& target, std::uint64_t device,
                             std::int32_t iteration) const {
  const std::string now = std::to_string(WallMillis());
  const std::string fl_id = "bench-" + run_ + "-" + std::to_string(device);
  flatbuffers::FlatBufferBuilder builder(256);
  std::vector<std::uint8_t> update;
  std::span<const std::uint8_t> body;
  Request request;
  switch (round) {
    case Round::kStartFlJob:
      builder.Finish(
          schema::CreateRequestFLJobDirect(builder, kJob, fl_id.c_str(), 0, data_size_, now.c_str()));
      break;
    case Round::kUpdateModel: {
      const model::Model::Tail tail = upload_->tail(false);
      update = UpdateHead(fl_id, now, iteration, tail);
      request.tail = tail.bytes;
      break;
    }
    case Round::kGetResult:
      builder.Finish(schema::CreateRequestGetResultDirect(builder, kJob, iteration, now.c_str()));
      break;
    case Round::kGetModel:
      builder.Finish(schema::CreateRequestGetModelDirect(builder, kJob, iteration, now.c_str()));
      break;
  }
  if (round == Round::kUpdateModel) {
    body = update;
  } else {
    body = {builder.GetBufferPointer(), builder.GetSize()};
  }
  const std::string header = "POST " + target.path + kRoundNames[Index(round)] +
                             " HTTP/1.1\r\nHost: " + target.host +
                             "\r\nContent-Type: application/octet-stream\r\nContent-Length: " +
                             std::to_string(body.size() + request.tail.size()) + "\r\n\r\n";
  request.head.reserve(header.size() + body.size());
  request.head.assign(header.begin(), header.end());
  request.head.insert(request.head.end(), body.begin(), body.end());
  return request;
}

}  // namespace msfl::load
