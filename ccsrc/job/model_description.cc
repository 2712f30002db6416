#include "job/model_description.h"

#include <optional>
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

Result<void> CompareModelDescription(const model::Layout& mine, const std::string& published) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(published.data());
  flatbuffers::Verifier verifier(bytes, published.size());
  if (!verifier.VerifyBuffer<schema::ModelDescription>(nullptr)) {
    return Error{Errc::kDisagreement, "The model description in the distributed cache can't be read"};
  }
  const auto& features = *flatbuffers::GetRoot<schema::ModelDescription>(bytes)->features();
  if (features.size() != mine.features().size()) {
    return Error{Errc::kDisagreement, "The number " + std::to_string(mine.features().size()) +
                                          " of local features != the number " +
                                          std::to_string(features.size()) +
                                          " declared in the the distributed cache"};
  }
  for (const schema::FeatureDescription* declared : features) {
    const std::string name = declared->name()->str();
    const std::optional<std::size_t> index = mine.Find(name);
    if (!index) {
      return Error{
          Errc::kDisagreement,
          "The features are inconsistent with that declared in distributed cache: cannot find feature " +
              name + " in local"};
    }
    const model::Feature& local = mine.features()[*index];
    if (local.elements * sizeof(float) != declared->bytes()) {
      return Error{Errc::kDisagreement, "The feature size " + std::to_string(local.elements * sizeof(float)) +
                                            " of local != that " + std::to_string(declared->bytes()) +
                                            " declared in the distributed cache, feature: " + name};
    }
    if (local.require_aggr != declared->require_aggr()) {
      return Error{Errc::kDisagreement, "The feature require_aggr " + std::to_string(local.require_aggr) +
                                            " of local != that " + std::to_string(declared->require_aggr()) +
                                            " declared in the distributed cache, feature: " + name};
    }
  }
  return {};
}

}  // namespace msfl::job
