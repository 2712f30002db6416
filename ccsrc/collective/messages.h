// The messages of schema/peer.fbs, ready to be sent.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/flat_range.h"
#include "schema/peer_generated.h"

namespace msfl::collective {

namespace schema = mindspore_federated::schema;

// Between whom.
struct Envelope {
  std::string fl_name, sender, receiver;  // node ids
  std::chrono::milliseconds wait{0};      // how long the receiver may take until it has what is asked for
};

struct CombinationKey {
  std::string instance;
  std::uint64_t iteration = 0;
  std::uint64_t members = 0;  // fingerprint of the list

  std::string Text() const;  // "iteration 7 of instance '...'"
};

struct Refusal {
  schema::PeerRefusalCode code = schema::PeerRefusalCode::NotYet;
  bool final() const { return code >= schema::PeerRefusalCode::Invalid; }
  std::string text;
  std::uint64_t progress = 0;
};

// Requests, as complete frames.
using Bytes = std::vector<std::uint8_t>;
Bytes FinishRequest(flatbuffers::FlatBufferBuilder& builder, const Envelope& envelope,
                    schema::PeerQuestion kind, flatbuffers::Offset<void> question);
template <class Question>
Bytes EncodeRequest(flatbuffers::FlatBufferBuilder& builder, const Envelope& envelope,
                    flatbuffers::Offset<Question> question) {
  return FinishRequest(builder, envelope, schema::PeerQuestionTraits<Question>::enum_value, question.Union());
}
Bytes EncodeSumRequest(const Envelope& envelope, const CombinationKey& key, std::uint64_t uploads,
                       model::FlatRange range);
Bytes EncodeAverageRequest(const Envelope& envelope, const CombinationKey& key, model::FlatRange range);
Bytes EncodeModelRequest(const Envelope& envelope, const std::string& digest);

// Null if it is none.
const schema::PeerRequest* VerifyRequest(std::span<const std::uint8_t> head);

// Heads. Long texts are cut.
Bytes EncodeRefusal(const Refusal& refusal);
std::optional<Refusal> DecodeRefusal(std::span<const std::uint8_t> head);

}  // namespace msfl::collective
