#include "recovery/messages.h"

#include <algorithm>
#include <cstring>

namespace msfl::recovery {

namespace {

flatbuffers::Offset<schema::PartName> EncodeName(flatbuffers::FlatBufferBuilder& builder,
                                                 const PartKey& key) {
  const auto instance = builder.CreateString(key.instance);
  const auto part = builder.CreateString(key.part);
  return schema::CreatePartName(builder, instance, key.iteration, part);
}

flatbuffers::Offset<schema::LedgerEntry> EncodeEntry(flatbuffers::FlatBufferBuilder& builder,
                                                     std::uint64_t sequence,
                                                     const cache::HeldUpdate& update) {
  const auto fl_id = builder.CreateString(update.fl_id);
  const auto nonce = builder.CreateString(update.nonce);
  const auto digest = builder.CreateString(update.digest);
  return schema::CreateLedgerEntry(builder, sequence, fl_id, nonce, digest);
}

flatbuffers::Offset<schema::Piece> EncodePiece(flatbuffers::FlatBufferBuilder& builder, const PieceAt& at,
                                               std::uint64_t bytes) {
  const auto address = builder.CreateString(at.address);
  const auto name = builder.CreateString(at.name);
  return schema::CreatePiece(builder, address, name, bytes);
}

}  // namespace

UpdatePiece::UpdatePiece(const model::Layout& layout, std::span<const model::Contribution> values) {
  std::vector<bool> there(layout.features().size());
  const std::uint8_t *first = nullptr, *last = nullptr;
  // Of a feature that is named twice the last one counts.
  for (auto at = values.rbegin(); at != values.rend(); ++at) {
    const model::Feature& feature = layout.features()[at->feature];
    if (!feature.require_aggr || there[at->feature]) continue;
    there[at->feature] = true;
    const auto* const begin = reinterpret_cast<const std::uint8_t*>(at->values);
    const std::uint8_t* const end = begin + feature.elements * sizeof(float);
    if (first == nullptr || begin < first) first = begin;
    if (last == nullptr || end > last) last = end;
    rows_.push_back(Row{at->feature, reinterpret_cast<std::uintptr_t>(begin)});
  }
  for (Row& row : rows_) row.offset -= reinterpret_cast<std::uintptr_t>(first);
  const auto length = static_cast<std::size_t>(last - first);
  payload_.Add(rows_.data(), rows_.size() * sizeof(Row));
  payload_.Add(first, length);
  bytes_ = rows_.size() * sizeof(Row) + length;
}

CopyPiece::CopyPiece(const Part& part, const model::Layout& layout,
                     const std::vector<LedgerEntry>& unsettled) {
  if (part.sum.uploads() == 0) return;
  flatbuffers::FlatBufferBuilder builder;
  std::vector<flatbuffers::Offset<schema::LedgerEntry>> entries;
  for (const LedgerEntry& entry : unsettled)
    entries.push_back(EncodeEntry(builder, entry.sequence, entry.update));
  builder.Finish(schema::CreateLedger(builder, builder.CreateVector(entries)));
  ledger_bytes_ = builder.GetSize();
  std::vector<std::uint64_t> sizes(layout.features().size());
  for (std::size_t i = 0; i < sizes.size(); ++i) sizes[i] = part.sum.data_size(i);
  const std::size_t table = sizes.size() * sizeof sizes[0];
  front_.resize(table + ledger_bytes_);
  std::memcpy(front_.data(), sizes.data(), table);
  std::memcpy(front_.data() + table, builder.GetBufferPointer(), ledger_bytes_);
  const std::span<const double> sums = part.sum.sums();
  payload_.Add(front_.data(), front_.size());
  payload_.Add(sums.data(), sums.size_bytes());
  bytes_ = front_.size() + sums.size_bytes();
}

// Whatever else an upload holds lies between its weights: other features, names.
std::uint64_t LargestUpdate(const model::Layout& layout) {
  std::uint64_t bytes = 1 << 20;
  for (const model::Feature& feature : layout.features())
    bytes += feature.elements * sizeof(float) + feature.name.size() + 128;
  return bytes;
}

collective::Bytes EncodeHold(const collective::Envelope& envelope, const Part& part, const Update& update,
                             const UpdatePiece& piece, const PieceAt& at) {
  flatbuffers::FlatBufferBuilder builder;
  const auto name = EncodeName(builder, part.key);
  const auto offered = EncodePiece(builder, at, piece.bytes());
  const auto entry = EncodeEntry(builder, update.sequence, update.id);
  return collective::EncodeRequest(
      builder, envelope,
      schema::CreateHoldQuestion(builder, name, offered, piece.features(), entry, part.ledger.settled_below(),
                                 update.data_size, update.eval_data_size, update.loss, update.accuracy));
}

collective::Bytes EncodeCopy(const collective::Envelope& envelope, const Part& part, const CopyPiece& piece,
                             const PieceAt& at) {
  flatbuffers::FlatBufferBuilder builder;
  const auto name = EncodeName(builder, part.key);
  const auto offered = EncodePiece(builder, at, piece.bytes());
  const model::MetricSums metrics = part.metrics();
  return collective::EncodeRequest(
      builder, envelope,
      schema::CreateCopyQuestion(builder, name, offered, at.number, part.sum.uploads(), piece.ledger_bytes(),
                                 metrics.data_size, metrics.eval_data_size, metrics.loss, metrics.accuracy));
}

}  // namespace msfl::recovery
