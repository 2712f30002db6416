#include "collective/messages.h"

#include <algorithm>

#include "net/peer_frame.h"

namespace msfl::collective {

namespace {

constexpr std::size_t kMaxTextBytes = 2000;

}  // namespace

Bytes FinishRequest(flatbuffers::FlatBufferBuilder& builder, const Envelope& envelope,
                    schema::PeerQuestion kind, flatbuffers::Offset<void> question) {
  const auto fl_name = builder.CreateString(envelope.fl_name);
  const auto receiver = builder.CreateString(envelope.receiver);
  const auto sender = builder.CreateString(envelope.sender);
  builder.Finish(schema::CreatePeerRequest(
      builder, fl_name, receiver, sender, static_cast<std::uint32_t>(envelope.wait.count()), kind, question));
  return net::EncodePeerFrame(net::PeerFrameKind::kRequest, {builder.GetBufferPointer(), builder.GetSize()},
                              0);
}

std::string CombinationKey::Text() const {
  return "iteration " + std::to_string(iteration) + " of instance '" + instance + "'";
}

Bytes EncodeSumRequest(const Envelope& envelope, const CombinationKey& key, std::uint64_t uploads,
                       model::FlatRange range) {
  flatbuffers::FlatBufferBuilder builder;
  const auto instance = builder.CreateString(key.instance);
  return EncodeRequest(builder, envelope,
                       schema::CreateSumQuestion(builder, instance, key.iteration, key.members, uploads,
                                                 range.begin, range.end));
}

Bytes EncodeAverageRequest(const Envelope& envelope, const CombinationKey& key, model::FlatRange range) {
  flatbuffers::FlatBufferBuilder builder;
  const auto instance = builder.CreateString(key.instance);
  return EncodeRequest(
      builder, envelope,
      schema::CreateAverageQuestion(builder, instance, key.iteration, key.members, range.begin, range.end));
}

Bytes EncodeModelRequest(const Envelope& envelope, const std::string& digest) {
  flatbuffers::FlatBufferBuilder builder;
  const auto text = builder.CreateString(digest);
  return EncodeRequest(builder, envelope, schema::CreateModelQuestion(builder, text));
}

const schema::PeerRequest* VerifyRequest(std::span<const std::uint8_t> head) {
  flatbuffers::Verifier verifier(head.data(), head.size());
  if (!verifier.VerifyBuffer<schema::PeerRequest>(nullptr)) return nullptr;
  return flatbuffers::GetRoot<schema::PeerRequest>(head.data());
}

Bytes EncodeRefusal(const Refusal& refusal) {
  flatbuffers::FlatBufferBuilder builder;
  const auto text = builder.CreateString(refusal.text.data(), std::min(refusal.text.size(), kMaxTextBytes));
  builder.Finish(schema::CreatePeerRefusal(builder, refusal.code, text, refusal.progress));
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

std::optional<Refusal> DecodeRefusal(std::span<const std::uint8_t> head) {
  flatbuffers::Verifier verifier(head.data(), head.size());
  if (!verifier.VerifyBuffer<schema::PeerRefusal>(nullptr)) return std::nullopt;
  const auto* const table = flatbuffers::GetRoot<schema::PeerRefusal>(head.data());
  Refusal refusal;
  refusal.code = table->code();
  refusal.progress = table->progress();
  if (table->text() != nullptr) refusal.text = table->text()->str().substr(0, kMaxTextBytes);
  return refusal;
}

}  // namespace msfl::collective
