#include "upload_oracle.h"

#include <cmath>
#include <memory>
#include <set>

#include "oracle/fl_job_generated.h"

namespace msfl::fuzz {
namespace {

namespace oracle = mindspore_federated::oracle;

// wire.md, section 7: depth 64, a million tables.
template <class Table>
const Table* Root(ByteView bytes) {
  flatbuffers::Verifier verifier(bytes.data(), bytes.size(), 64, 1'000'000);
  return verifier.VerifyBuffer<Table>(nullptr) ? flatbuffers::GetRoot<Table>(bytes.data()) : nullptr;
}

std::string TextOf(const flatbuffers::String* text) { return text == nullptr ? std::string() : text->str(); }

bool Finite(const flatbuffers::Vector<float>& values) {
  for (flatbuffers::uoffset_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values.Get(i))) return false;
  }
  return true;
}

bool PlainFeaturesThere(const oracle::RequestUpdateModel& message) {
  if (message.feature_map() == nullptr) return false;
  for (const oracle::FeatureMap* feature : *message.feature_map()) {
    if (feature->weight_fullname() == nullptr || feature->data() == nullptr) return false;
  }
  return true;
}

bool CompressedFeaturesThere(const oracle::RequestUpdateModel& message) {
  if (message.compress_feature_map() == nullptr || message.name_vec() == nullptr) return false;
  for (const oracle::CompressFeatureMap* feature : *message.compress_feature_map()) {
    if (feature->weight_fullname() == nullptr || feature->compress_data() == nullptr) return false;
  }
  return true;
}

// `bytes` of the message: more than it holds can only come of items that point at the same data.
bool EvaluationInOrder(const oracle::UnsupervisedEvalItems* items, std::size_t bytes) {
  if (items == nullptr) return true;
  if (items->eval_items() == nullptr) return false;
  std::size_t held = 0;
  for (const oracle::UnsupervisedEvalItem* item : *items->eval_items()) {
    if (item->eval_data() != nullptr) held += item->eval_data()->size() * sizeof(float);
    if (held > bytes) return false;
  }
  for (const oracle::UnsupervisedEvalItem* item : *items->eval_items()) {
    if (item->eval_name() == nullptr || item->eval_data() == nullptr || !Finite(*item->eval_data()))
      return false;
  }
  return true;
}

bool Complete(const oracle::RequestUpdateModel& message, std::size_t bytes) {
  if (message.fl_id() == nullptr || message.timestamp() == nullptr) return false;
  const bool plain = message.upload_compress_type() == oracle::CompressType::NO_COMPRESS;
  return (plain ? PlainFeaturesThere(message) : CompressedFeaturesThere(message)) &&
         std::isfinite(message.upload_loss()) && std::isfinite(message.upload_accuracy()) &&
         EvaluationInOrder(message.unsupervised_eval_items(), bytes);
}

// rounds.md, section 4.2, step 6: neither compression nor SignDS is configured.
bool Fits(const oracle::RequestUpdateModel& message, const ModelRules& model, Values& features) {
  if (message.upload_compress_type() != oracle::CompressType::NO_COMPRESS || message.sign() != 0)
    return false;
  const auto& sent = *message.feature_map();
  if (sent.size() == 0 || sent.size() > model.size()) return false;
  for (const oracle::FeatureMap* entry : sent) {
    const std::unique_ptr<oracle::FeatureMapT> feature(entry->UnPack());
    const auto rule = model.find(feature->weight_fullname);
    if (rule == model.end() || features.contains(feature->weight_fullname) ||
        feature->data.size() != rule->second.elements) {
      return false;
    }
    for (const float value : feature->data) {
      if (!std::isfinite(value)) return false;
    }
    features[feature->weight_fullname] = feature->data;
  }
  return true;
}

template <class Map>
std::optional<Values> ValuesOf(const Map* map) {
  if (map == nullptr) return std::nullopt;
  Values values;
  for (const oracle::FeatureMap* entry : *map) {
    std::vector<float>& into = values[TextOf(entry->weight_fullname())];
    if (entry->data() != nullptr) into.assign(entry->data()->begin(), entry->data()->end());
  }
  return values;
}

}  // namespace

std::optional<StartRequest> DecodeStart(ByteView bytes) {
  const Bytes aligned(bytes.begin(), bytes.end());
  const auto* message = Root<oracle::RequestFLJob>(aligned);
  if (message == nullptr) return std::nullopt;
  StartRequest request;
  request.complete =
      message->fl_id() != nullptr && message->fl_name() != nullptr && message->timestamp() != nullptr;
  request.fl_id = TextOf(message->fl_id());
  request.data_size = message->data_size();
  request.eval_data_size = message->eval_data_size();
  return request;
}

std::optional<Upload> DecodeUpload(ByteView bytes, const ModelRules& model) {
  const Bytes aligned(bytes.begin(), bytes.end());
  const auto* message = Root<oracle::RequestUpdateModel>(aligned);
  if (message == nullptr) return std::nullopt;
  Upload upload;
  upload.complete = Complete(*message, bytes.size());
  upload.fl_id = TextOf(message->fl_id());
  upload.iteration = message->iteration();
  if (upload.complete) upload.fits = Fits(*message, model, upload.features);
  if (!upload.fits) upload.features.clear();
  return upload;
}

std::optional<std::int32_t> DecodeGetModel(ByteView bytes) {
  const Bytes aligned(bytes.begin(), bytes.end());
  const auto* message = Root<oracle::RequestGetModel>(aligned);
  return message == nullptr ? std::nullopt : std::optional(message->iteration());
}

std::optional<std::int32_t> DecodeGetResult(ByteView bytes) {
  const Bytes aligned(bytes.begin(), bytes.end());
  const auto* message = Root<oracle::RequestGetResult>(aligned);
  return message == nullptr ? std::nullopt : std::optional(message->iteration());
}

std::optional<Answer> DecodeStartAnswer(ByteView bytes) {
  const auto* message = Root<oracle::ResponseFLJob>(bytes);
  if (message == nullptr) return std::nullopt;
  Answer answer{message->retcode(), TextOf(message->reason()), message->iteration(), false, false, {}};
  answer.has_plan = message->fl_plan_config() != nullptr && message->fl_plan_config()->cipher() != nullptr;
  answer.is_selected = message->is_selected();
  answer.features = ValuesOf(message->feature_map());
  return answer;
}

std::optional<Answer> DecodeUploadAnswer(ByteView bytes) {
  const auto* message = Root<oracle::ResponseUpdateModel>(bytes);
  if (message == nullptr) return std::nullopt;
  return Answer{message->retcode(), TextOf(message->reason()), 0, false, false, {}};
}

std::optional<Answer> DecodeModelAnswer(ByteView bytes) {
  const auto* message = Root<oracle::ResponseGetModel>(bytes);
  if (message == nullptr) return std::nullopt;
  return Answer{message->retcode(),
                TextOf(message->reason()),
                message->iteration(),
                false,
                false,
                ValuesOf(message->feature_map())};
}

std::optional<Answer> DecodeResultAnswer(ByteView bytes) {
  const auto* message = Root<oracle::ResponseGetResult>(bytes);
  if (message == nullptr) return std::nullopt;
  return Answer{message->retcode(), TextOf(message->reason()), message->iteration(), false, false, {}};
}

}  // namespace msfl::fuzz
