// One member's sums of a range, read from front to back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "collective/combination.h"
#include "collective/messages.h"
#include "collective/peer_call.h"

namespace msfl::collective {

class SumReader {
 public:
  SumReader(PeerCall& call, Envelope envelope, std::shared_ptr<Combination> combination, std::size_t member,
            model::FlatRange range);

  // The data sizes are there, and the sums are on their way. False, as with Read: the undertaking has ended.
  Task<bool> Begin();
  Task<bool> Read(std::span<double> into);
  const std::vector<std::uint64_t>& data_sizes() const { return data_sizes_; }

 private:
  PeerCall& call_;
  const Envelope envelope_;
  const std::shared_ptr<Combination> combination_;
  const std::size_t member_;
  model::FlatRange left_;  // not read yet; a new connection goes on there
  std::vector<std::uint64_t> data_sizes_;
};

}  // namespace msfl::collective
