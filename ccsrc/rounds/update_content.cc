#include "rounds/update_content.h"

#include <cmath>

#include "base/non_finite.h"

namespace msfl::rounds {
namespace {

bool HasFeatures(const flatbuffers::Vector<flatbuffers::Offset<schema::FeatureMap>>* features) {
  if (features == nullptr) return false;
  for (const schema::FeatureMap* feature : *features) {
    if (feature->weight_fullname() == nullptr || feature->data() == nullptr) return false;
  }
  return true;
}

bool HasCompressedFeatures(const schema::RequestUpdateModel& message) {
  if (message.compress_feature_map() == nullptr || message.name_vec() == nullptr) return false;
  for (const schema::CompressFeatureMap* feature : *message.compress_feature_map()) {
    if (feature->weight_fullname() == nullptr || feature->compress_data() == nullptr) return false;
  }
  return true;
}

// The body was scanned while it arrived; only a part that looked suspicious is read again.
bool IsFinite(const flatbuffers::Vector<float>& values, const net::HttpRequest& request) {
  const auto* begin = reinterpret_cast<const std::uint8_t*>(values.data());
  const std::size_t from = static_cast<std::size_t>(begin - request.body.data());
  const std::size_t to = from + values.size() * sizeof(float);
  if (!request.non_finite->MayContain(from, to)) return true;
  return AllFinite(values.data(), values.size());
}

bool HasWellFormedEvaluation(const schema::UnsupervisedEvalItems* items, const net::HttpRequest& request) {
  if (items == nullptr) return true;
  if (items->eval_items() == nullptr) return false;
  // Many items may point at the same data: without this bound a message of 1 MB could make up 10^10 values.
  std::uint64_t bytes_left = request.body.size();
  for (const schema::UnsupervisedEvalItem* item : *items->eval_items()) {
    if (item->eval_name() == nullptr || item->eval_data() == nullptr) return false;
    const std::uint64_t bytes = item->eval_data()->size() * sizeof(float);
    if (bytes > bytes_left || !IsFinite(*item->eval_data(), request)) return false;
    bytes_left -= bytes;
  }
  return true;
}

}  // namespace

bool HasMandatoryFields(const schema::RequestUpdateModel& message, const net::HttpRequest& request) {
  if (message.fl_id() == nullptr || message.timestamp() == nullptr) return false;
  const bool plain = message.upload_compress_type() == schema::CompressType::NO_COMPRESS;
  if (plain ? !HasFeatures(message.feature_map()) : !HasCompressedFeatures(message)) return false;
  if (!std::isfinite(message.upload_loss()) || !std::isfinite(message.upload_accuracy())) return false;
  return HasWellFormedEvaluation(message.unsupervised_eval_items(), request);
}

UploadContent JudgeContent(const schema::RequestUpdateModel& message, const net::HttpRequest& request,
                           const model::Layout& layout, bool require_all) {
  UploadContent content;
  // Neither compressed nor SignDS uploads are configured: their values don't mean what a plain upload's mean.
  if (message.upload_compress_type() != schema::CompressType::NO_COMPRESS || message.sign() != 0)
    return content;
  const auto& features = *message.feature_map();
  if (features.size() == 0 || features.size() > layout.features().size()) return content;
  std::vector<bool> seen(layout.features().size(), false);
  content.contributions.reserve(features.size());
  for (const schema::FeatureMap* feature : features) {
    const std::optional<std::size_t> index = layout.Find(feature->weight_fullname()->string_view());
    if (!index || seen[*index]) return content;
    seen[*index] = true;
    if (feature->data()->size() != layout.features()[*index].elements ||
        !IsFinite(*feature->data(), request)) {
      return content;
    }
    content.contributions.push_back(model::Contribution{*index, feature->data()->data()});
  }
  if (require_all) {
    for (std::size_t i = 0; i < seen.size(); ++i) {
      if (!seen[i] && layout.features()[i].require_aggr) {
        content.missing_feature = layout.features()[i].name;
        return content;
      }
    }
  }
  content.accepted = true;
  return content;
}

}  // namespace msfl::rounds
