#include "collective/combination.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <utility>

namespace msfl::collective {

namespace {

CombinationKey KeyOf(const CombineRequest& request) {
  CombinationKey key;
  key.instance = request.instance;
  key.iteration = request.iteration;
  key.members = Fingerprint(request.members);
  return key;
}

std::vector<std::uint64_t> DataSizes(const CombineRequest& request) {
  std::vector<std::uint64_t> sizes(request.start_model->layout().features().size());
  for (std::size_t i = 0; i < sizes.size(); ++i) sizes[i] = request.sum->data_size(i);
  return sizes;
}

}  // namespace

std::uint64_t Fingerprint(const std::vector<Member>& members) {
  std::string text;
  for (const Member& member : members) {
    text += std::to_string(member.node_id.size()) + ' ' + member.node_id + ' ' +
            std::to_string(member.uploads) + '\n';
  }
  return XXH3_64bits(text.data(), text.size());
}

Combination::Combination(const CombineRequest& request, std::size_t own_rank,
                         std::shared_ptr<model::Model> uninitialised)
    : key(KeyOf(request)),
      members(request.members),
      rank(own_rank),
      data_sizes(DataSizes(request)),
      model(std::move(uninitialised)) {
  model::CopyNotAggregated(*request.start_model, *model);
}

}  // namespace msfl::collective
