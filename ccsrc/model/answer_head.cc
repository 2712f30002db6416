#include "model/answer_head.h"

#include <cstring>
#include <stdexcept>

namespace msfl::model {

namespace {

// Differs from the field's default, so that the builder stores the field.
constexpr flatbuffers::uoffset_t kMark = 0xFFFFFFFF;

}  // namespace

void MarkTail(flatbuffers::FlatBufferBuilder& builder, flatbuffers::voffset_t field) {
  builder.AddElement<flatbuffers::uoffset_t>(field, kMark, 0);
}

std::vector<std::uint8_t> SealHead(const flatbuffers::FlatBufferBuilder& builder,
                                   flatbuffers::voffset_t field, const Model::Tail& tail) {
  const std::size_t size = builder.GetSize();
  const std::size_t padded = (size + Layout::kAlignment - 1) / Layout::kAlignment * Layout::kAlignment;
  const std::uint8_t* buffer = builder.GetBufferPointer();
  const std::uint8_t* marked = flatbuffers::GetRoot<flatbuffers::Table>(buffer)->GetAddressOf(field);
  if (marked == nullptr || flatbuffers::ReadScalar<flatbuffers::uoffset_t>(marked) != kMark ||
      padded > Layout::kMaxHeadBytes) {
    throw std::logic_error("SealHead: the field was not marked by MarkTail, or the head is too long");
  }
  std::vector<std::uint8_t> head(padded);
  std::memcpy(head.data(), buffer, size);
  const auto at = static_cast<std::size_t>(marked - buffer);
  flatbuffers::WriteScalar(head.data() + at,
                           static_cast<flatbuffers::uoffset_t>(padded + tail.vector_offset - at));
  return head;
}

}  // namespace msfl::model
