// One combination of sums as this Server takes part in it: what its own side makes, and others ask for.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "collective/exchange.h"
#include "collective/messages.h"
#include "model/flat_range.h"
#include "model/model.h"

namespace msfl::collective {

std::uint64_t Fingerprint(const std::vector<Member>& members);

struct Combination {
  // `uninitialised` becomes the model of averages; what is not aggregated is copied here.
  Combination(const CombineRequest& request, std::size_t own_rank,
              std::shared_ptr<model::Model> uninitialised);

  model::FlatRange SegmentOf(std::size_t member) const {
    return model::Segment(model->layout().aggregated_elements(), members.size(), member);
  }
  model::FlatRange segment() const { return SegmentOf(rank); }

  const CombinationKey key;
  const std::vector<Member> members;
  const std::size_t rank;                       // of this Server
  const std::vector<std::uint64_t> data_sizes;  // of its own sum, by feature
  const std::shared_ptr<model::Model> model;    // each part is written by whoever averages or fetches it
  std::atomic<std::uint64_t> progress{1};       // grows while the own segment is read and averaged
  std::atomic<bool> left{false};                // Exchange::Leave
};

}  // namespace msfl::collective
