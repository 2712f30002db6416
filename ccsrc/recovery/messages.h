// The messages of schema/peer.fbs that recovery sends, and writes to its journal.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "collective/messages.h"
#include "model/layout.h"
#include "model/upload_digest.h"
#include "net/stream.h"
#include "recovery/part.h"

namespace msfl::recovery {

namespace schema = collective::schema;

// An update that is in the part's sum and is to be counted next.
struct Update {
  std::uint64_t sequence = 0;
  cache::HeldUpdate id;
  std::uint64_t data_size = 0, eval_data_size = 0;
  float loss = 0, accuracy = 0;
  std::span<const model::Contribution> values;
};

// The values of an update, which lie in one piece of memory (the body of its request), with a table of where
// each feature's begin. They are not copied.
class UpdatePiece {
 public:
  UpdatePiece(const model::Layout& layout, std::span<const model::Contribution> values);
  UpdatePiece(const UpdatePiece&) = delete;
  UpdatePiece& operator=(const UpdatePiece&) = delete;
  const net::GatherBuffers& payload() const { return payload_; }
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t features() const { return rows_.size(); }

 private:
  struct Row {
    std::uint64_t feature, offset;
  };
  std::vector<Row> rows_;
  net::GatherBuffers payload_;
  std::uint64_t bytes_ = 0;
};

// Data sizes, ledger and sums of a part. The part stays as it is meanwhile.
class CopyPiece {
 public:
  CopyPiece(const Part& part, const model::Layout& layout, const std::vector<LedgerEntry>& unsettled);
  CopyPiece(const CopyPiece&) = delete;
  CopyPiece& operator=(const CopyPiece&) = delete;
  const net::GatherBuffers& payload() const { return payload_; }
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t ledger_bytes() const { return ledger_bytes_; }

 private:
  std::vector<std::uint8_t> front_;  // sizes and ledger
  std::uint64_t ledger_bytes_ = 0;
  net::GatherBuffers payload_;
  std::uint64_t bytes_ = 0;
};

struct PieceAt {
  std::string address, name;
  std::uint64_t number = 0;  // of a copy
};

// As complete frames.
collective::Bytes EncodeHold(const collective::Envelope& envelope, const Part& part, const Update& update,
                             const UpdatePiece& piece, const PieceAt& at);
collective::Bytes EncodeCopy(const collective::Envelope& envelope, const Part& part, const CopyPiece& piece,
                             const PieceAt& at);

// What a piece may have at most.
std::uint64_t LargestUpdate(const model::Layout& layout);

}  // namespace msfl::recovery
