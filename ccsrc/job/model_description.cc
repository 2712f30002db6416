#include "job/model_description.h"

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "schema/store_generated.h"

namespace msfl::job {

namespace schema = mindspore_federated::schema;

std::string EncodeModelDescription(const model::Layout& layout) {
  flatbuffers::FlatBufferBuilder builder;
  std::vector<flatbuffers::Offset<schema::FeatureDescription>> features;
  for (const model::Feature& feature : layout.features()) {
    const auto name = builder.CreateString(feature.name);
    const auto shape = builder.CreateVector(feature.shape);
    features.push_back(schema::CreateFeatureDescription(builder, name, feature.elements * sizeof(float),
                                                        feature.require_aggr, shape));
  }
  builder.Finish(schema::CreateModelDescription(builder, builder.CreateVector(features)));
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

namespace {

struct Declared {
  std::uint64_t bytes = 0;
  bool require_aggr = false;
  std::vector<std::int64_t> shape;
};
using DeclaredModel = std::map<std::string, Declared>;

std::optional<DeclaredModel> Decode(const std::string& published) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(published.data());
  flatbuffers::Verifier verifier(bytes, published.size());
  if (!verifier.VerifyBuffer<schema::ModelDescription>(nullptr)) return std::nullopt;
  DeclaredModel model;
  for (const schema::FeatureDescription* feature :
       *flatbuffers::GetRoot<schema::ModelDescription>(bytes)->features()) {
    Declared& declared = model[feature->name()->str()];
    declared.bytes = feature->bytes();
    declared.require_aggr = feature->require_aggr();
    if (feature->shape() != nullptr)
      declared.shape.assign(feature->shape()->begin(), feature->shape()->end());
  }
  return model;
}

DeclaredModel Describe(const std::vector<model::Feature>& features) {
  DeclaredModel model;
  for (const model::Feature& feature : features) {
    model[feature.name] = Declared{feature.elements * sizeof(float), feature.require_aggr, feature.shape};
  }
  return model;
}

// The literal text for the first difference; empty if there is none.
std::string FirstDifference(const DeclaredModel& mine, const DeclaredModel& published) {
  if (published.size() != mine.size()) {
    return "The number " + std::to_string(mine.size()) + " of local features != the number " +
           std::to_string(published.size()) + " declared in the the distributed cache";
  }
  for (const auto& [name, declared] : published) {
    const auto found = mine.find(name);
    if (found == mine.end()) {
      return "The features are inconsistent with that declared in distributed cache: cannot find feature " +
             name + " in local";
    }
    const Declared& local = found->second;
    if (local.bytes != declared.bytes) {
      return "The feature size " + std::to_string(local.bytes) + " of local != that " +
             std::to_string(declared.bytes) + " declared in the distributed cache, feature: " + name;
    }
    if (local.require_aggr != declared.require_aggr) {
      return "The feature require_aggr " + std::to_string(local.require_aggr) + " of local != that " +
             std::to_string(declared.require_aggr) + " declared in the distributed cache, feature: " + name;
    }
  }
  return {};
}

std::string ForDisplay(const DeclaredModel& model, const std::string& name) {
  const auto found = model.find(name);
  if (found == model.end()) return "missing";
  const Declared& feature = found->second;
  std::string shape;
  for (const std::int64_t extent : feature.shape)
    shape += (shape.empty() ? "" : ", ") + std::to_string(extent);
  return std::to_string(feature.bytes) + " bytes, shape (" + shape + "), require_aggr " +
         (feature.require_aggr ? "true" : "false");
}

}  // namespace

Result<void> CompareModelDescription(const std::vector<model::Feature>& features,
                                     const std::string& published_bytes) {
  const std::optional<DeclaredModel> published = Decode(published_bytes);
  if (!published) {
    return Error{Errc::kDisagreement, "The model description in the distributed cache can't be read"};
  }
  const DeclaredModel mine = Describe(features);
  std::string text = FirstDifference(mine, *published);
  if (text.empty()) return {};

  std::set<std::string> differing;
  for (const auto& [name, local] : mine) {
    const auto found = published->find(name);
    if (found == published->end() || found->second.bytes != local.bytes ||
        found->second.require_aggr != local.require_aggr) {
      differing.insert(name);
    }
  }
  for (const auto& [name, declared] : *published) {
    if (!mine.contains(name)) differing.insert(name);
  }
  text += ". What differs:";
  std::size_t listed = 0;
  for (const std::string& name : differing) {
    if (listed++ == kListedDifferences) break;
    text +=
        "\n  " + name + ": local " + ForDisplay(mine, name) + "; declared " + ForDisplay(*published, name);
  }
  if (differing.size() > kListedDifferences) {
    text += "\n  and " + std::to_string(differing.size() - kListedDifferences) + " more";
  }
  return Error{Errc::kDisagreement, text};
}

}  // namespace msfl::job
