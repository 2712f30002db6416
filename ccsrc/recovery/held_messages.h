// What a holder is asked to take, read from a request; for held_parts.cc and held_fetches.cc.
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "recovery/held_parts.h"

namespace msfl::recovery {

inline PartKey KeyOf(const schema::PartName& name) {
  return PartKey{name.instance()->str(), name.iteration(), name.part()->str()};
}

inline cache::HeldUpdate HeldUpdateOf(const schema::LedgerEntry& entry) {
  return cache::HeldUpdate{entry.fl_id()->str(), entry.nonce()->str(), entry.digest()->str()};
}

struct PieceName {
  explicit PieceName(const schema::PeerRequest& request, const schema::Piece& piece)
      : node_id(request.sender() != nullptr ? request.sender()->str() : std::string()),
        address(piece.address()->str()),
        name(piece.name()->str()),
        bytes(piece.bytes()) {}
  const std::string node_id, address, name;
  const std::uint64_t bytes;
};

struct HeldParts::HoldMessage {
  HoldMessage(const schema::PeerRequest& request, const schema::HoldQuestion& question)
      : key(KeyOf(*question.of())),
        piece(request, *question.piece()),
        features(question.features()),
        sequence(question.entry()->sequence()),
        update(HeldUpdateOf(*question.entry())),
        data_size(question.data_size()),
        eval_data_size(question.eval_data_size()),
        loss(question.loss()),
        accuracy(question.accuracy()) {}
  // Where in its piece the values of each feature are. False if it makes no sense.
  bool ReadValues(const model::Layout& layout, std::span<const std::uint8_t> bytes,
                  std::vector<model::Contribution>& values) const {
    if (features > layout.features().size()) return false;
    const std::uint64_t table = features * 2 * sizeof(std::uint64_t);
    if (table > bytes.size()) return false;
    const std::span<const std::uint8_t> floats = bytes.subspan(table);
    for (std::uint64_t i = 0; i < features; ++i) {
      std::uint64_t row[2];
      std::memcpy(row, bytes.data() + i * sizeof row, sizeof row);
      const bool known = row[0] < layout.features().size();
      const std::uint64_t size = known ? layout.features()[row[0]].elements * sizeof(float) : 0;
      if (!known || row[1] % sizeof(float) != 0 || row[1] > floats.size() || size > floats.size() - row[1])
        return false;
      values.push_back({row[0], reinterpret_cast<const float*>(floats.data() + row[1])});
    }
    return true;
  }

  const PartKey key;
  const PieceName piece;
  const std::uint64_t features, sequence;
  const cache::HeldUpdate update;
  const std::uint64_t data_size, eval_data_size;
  const float loss, accuracy;
};

struct HeldParts::CopyMessage {
  CopyMessage(const schema::PeerRequest& request, const schema::CopyQuestion& question)
      : key(KeyOf(*question.of())),
        piece(request, *question.piece()),
        uploads(question.uploads()),
        number(question.number()),
        ledger_bytes(question.ledger_bytes()) {
    metrics.loss = question.loss();
    metrics.accuracy = question.accuracy();
    metrics.data_size = question.data_size();
    metrics.eval_data_size = question.eval_data_size();
  }

  // What its piece makes. Null if that is of another model.
  std::shared_ptr<Mirror> Make(std::shared_ptr<const model::Layout> layout, BufferPool& pool,
                               std::span<const std::uint8_t> bytes) const {
    const auto part = std::make_shared<Part>(key, layout, pool);
    part->SetMetrics(metrics);
    const auto mirror = std::make_shared<Mirror>(part);
    mirror->giver = piece.node_id;
    mirror->copy = number;
    if (uploads == 0) return mirror;
    std::vector<std::uint64_t> sizes(layout->features().size());
    const std::size_t table = sizes.size() * sizeof(std::uint64_t);
    const std::size_t sum_bytes = layout->aggregated_elements() * sizeof(double);
    if (ledger_bytes > bytes.size() || bytes.size() - ledger_bytes != table + sum_bytes) return nullptr;
    // Read in place: it may begin anywhere.
    const std::vector<std::uint8_t> ledger(bytes.begin() + static_cast<std::ptrdiff_t>(table),
                                           bytes.begin() + static_cast<std::ptrdiff_t>(table + ledger_bytes));
    flatbuffers::Verifier verifier(ledger.data(), ledger.size(), 64, UINT32_MAX);
    if (!verifier.VerifyBuffer<schema::Ledger>(nullptr)) return nullptr;
    const auto* const entries = flatbuffers::GetRoot<schema::Ledger>(ledger.data())->entries();
    for (flatbuffers::uoffset_t i = 0; entries != nullptr && i < entries->size(); ++i)
      mirror->unsettled.emplace(entries->Get(i)->sequence(), HeldUpdateOf(*entries->Get(i)));
    std::memcpy(sizes.data(), bytes.data(), table);
    const std::span<double> sums = part->sum.Restore(sizes, uploads);
    std::memcpy(sums.data(), bytes.data() + table + ledger_bytes, sums.size_bytes());
    return mirror;
  }

  const PartKey key;
  const PieceName piece;
  const std::uint64_t uploads, number, ledger_bytes;
  model::MetricSums metrics;
};

}  // namespace msfl::recovery
