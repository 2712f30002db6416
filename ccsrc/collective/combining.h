// The asking side of a combination: averages the own segment, fetches the others.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "collective/combination.h"
#include "collective/offers.h"
#include "collective/sum_reader.h"
#include "collective/undertaking.h"
#include "model/digest.h"
#include "net/peer_link.h"

namespace msfl::collective {

// Everything on the undertaking's loop. What fails ends the undertaking.
class Combining {
 public:
  struct Parts {
    std::shared_ptr<Offers> offers;
    std::shared_ptr<net::PeerLinks> links;
    std::shared_ptr<BufferPool> pool;
    std::shared_ptr<Undertaking> undertaking;
    std::shared_ptr<Combination> combination;
  };
  Combining(Parts parts, CombineRequest request)
      : parts_(std::move(parts)),
        request_(std::move(request)),
        until_(SteadyClock::now() + TimeAllowed(*parts_.combination, request_.patience)) {}

  Task<> Run();
  // Of the model, once Run is done without a failure. To be called once.
  std::string Digest();

 private:
  static SteadyClock::duration TimeAllowed(const Combination& combination,
                                           std::chrono::milliseconds patience);

  struct Source;  // of the parts that are added, one for each member

  Task<> AverageSegment();
  Task<> FetchSegment(std::size_t member);
  Task<> Begin(SumReader& reader);
  Task<bool> AddParts(std::vector<Source>& sources, std::span<double> sums, std::span<double> part,
                      std::size_t begin);
  Envelope EnvelopeFor(const Member& member, const PeerCall& call) const;
  bool ended() const { return parts_.undertaking->ended().has_value(); }

  bool alone() const { return request_.members.size() == 1; }

  const Parts parts_;
  const CombineRequest request_;
  const SteadyClock::time_point until_;
  model::Digester digester_;  // alone: of what is averaged already
};

}  // namespace msfl::collective
