#include "device_load/requests.h"

#include <flatbuffers/flatbuffers.h>

#include <algorithm>
#include <stdexcept>

#include "model/answer_head.h"
#include "schema/fl_job_generated.h"

namespace msfl::device_load {

namespace schema = mindspore_federated::schema;

namespace {

constexpr int kDataSize = 32;
constexpr const char* kTimestamp = "1700000000000";

void Append(std::vector<std::uint8_t>& to, const std::uint8_t* from, std::size_t size) {
  to.insert(to.end(), from, from + size);
}

}  // namespace

RequestMaker::RequestMaker(std::string host, std::string url_prefix,
                           const std::vector<std::pair<std::string, std::size_t>>& features)
    : host_(std::move(host)), url_prefix_(std::move(url_prefix)) {
  std::vector<model::Feature> declared;
  for (const auto& [name, elements] : features) {
    model::Feature feature;
    feature.name = name;
    feature.shape = {static_cast<std::int64_t>(elements)};
    declared.push_back(std::move(feature));
  }
  auto layout = model::Layout::Make(std::move(declared));
  if (!layout) throw std::invalid_argument(layout.error().text);
  const auto upload = model::Model::Make(*layout, *pool_);
  for (std::size_t i = 0; i < features.size(); ++i) {
    float next = 0;
    for (float& value : upload->values(i)) {
      value = kDataSize * next;
      next = next < 1 ? next + 1.0F / 1024 : -1.0F;
    }
  }
  upload_ = upload;
}

std::vector<std::uint8_t> RequestMaker::Header(const char* round, std::size_t body_bytes) const {
  const std::string text =
      "POST " + url_prefix_ + round + " HTTP/1.1\r\nHost: " + host_ +
      "\r\nContent-Type: application/octet-stream\r\nContent-Length: " + std::to_string(body_bytes) +
      "\r\n\r\n";
  return {text.begin(), text.end()};
}

Request RequestMaker::StartFlJob(const std::string& fl_id) const {
  flatbuffers::FlatBufferBuilder builder(256);
  builder.Finish(schema::CreateRequestFLJobDirect(builder, "job", fl_id.c_str(), 0, kDataSize, kTimestamp));
  Request request{Header("startFLJob", builder.GetSize()), {}};
  Append(request.head, builder.GetBufferPointer(), builder.GetSize());
  return request;
}

Request RequestMaker::UpdateModel(const std::string& fl_id, std::int64_t iteration) const {
  flatbuffers::FlatBufferBuilder builder(256);
  const auto job = builder.CreateString("job");
  const auto id = builder.CreateString(fl_id);
  const auto timestamp = builder.CreateString(kTimestamp);
  schema::RequestUpdateModelBuilder update(builder);
  update.add_fl_name(job);
  update.add_fl_id(id);
  update.add_iteration(static_cast<std::int32_t>(iteration));
  update.add_timestamp(timestamp);
  update.add_upload_loss(0.5F);
  model::MarkTail(builder, schema::RequestUpdateModel::VT_FEATURE_MAP);
  builder.Finish(update.Finish());
  const model::Model::Tail tail = upload_->tail(false);
  const auto head = model::SealHead(builder, schema::RequestUpdateModel::VT_FEATURE_MAP, tail);
  Request request{Header("updateModel", head.size() + tail.bytes.size()), tail.bytes};
  Append(request.head, head.data(), head.size());
  return request;
}

Request RequestMaker::GetModel(std::int64_t iteration) const {
  flatbuffers::FlatBufferBuilder builder(256);
  builder.Finish(
      schema::CreateRequestGetModelDirect(builder, "job", static_cast<std::int32_t>(iteration), kTimestamp));
  Request request{Header("getModel", builder.GetSize()), {}};
  Append(request.head, builder.GetBufferPointer(), builder.GetSize());
  return request;
}

void ReadAnswer(std::span<const std::uint8_t> body_start, bool round_has_iteration, Answer& answer) {
  // The three response tables begin with the same fields; the weights, which are not all here, aren't looked
  // at.
  using Response = schema::ResponseGetModel;
  struct Table : flatbuffers::Table {
    bool Check(flatbuffers::Verifier& verifier, bool with_iteration) const {
      return VerifyTableStart(verifier) && VerifyField<std::int32_t>(verifier, Response::VT_RETCODE, 4) &&
             VerifyOffset(verifier, Response::VT_REASON) &&
             verifier.VerifyString(GetPointer<const flatbuffers::String*>(Response::VT_REASON)) &&
             (!with_iteration || VerifyField<std::int32_t>(verifier, Response::VT_ITERATION, 4));
    }
  };
  answer.retcode = 0;
  answer.iteration = 0;
  answer.reason.clear();
  flatbuffers::Verifier verifier(body_start.data(), body_start.size());
  if (body_start.size() >= 8 && answer.bytes >= 32) {
    const auto root = flatbuffers::ReadScalar<flatbuffers::uoffset_t>(body_start.data());
    if (root >= 4 && root < body_start.size() - 4) {
      const auto* table = reinterpret_cast<const Table*>(body_start.data() + root);
      if (table->Check(verifier, round_has_iteration)) {
        answer.retcode = table->GetField<std::int32_t>(Response::VT_RETCODE, 0);
        if (round_has_iteration) answer.iteration = table->GetField<std::int32_t>(Response::VT_ITERATION, 0);
        const auto* reason = table->GetPointer<const flatbuffers::String*>(Response::VT_REASON);
        if (reason != nullptr) answer.reason = reason->str();
        return;
      }
    }
  }
  for (const std::uint8_t byte : body_start.first(std::min<std::size_t>(body_start.size(), 200))) {
    answer.reason += byte >= 32 && byte < 127 ? static_cast<char>(byte) : '?';
  }
}

}  // namespace msfl::device_load
