// The part of an answer that is made for one device, in front of a model's shared tail.
//
// Build the response as usual, but instead of `add_feature_map(...)` mark the field; then seal, and send head
// and tail:
//
//   flatbuffers::FlatBufferBuilder builder(512);
//   const auto reason = builder.CreateString("success");                // strings and sub-tables first, as
//   always schema::ResponseGetModelBuilder response(builder); response.add_retcode(200);
//   response.add_reason(reason);
//   MarkTail(builder, schema::ResponseGetModel::VT_FEATURE_MAP);
//   builder.Finish(response.Finish());
//   const Model::Tail tail = model->tail(only_aggregated);
//   reply.head = SealHead(builder, schema::ResponseGetModel::VT_FEATURE_MAP, tail);
//   reply.tail = tail.bytes; reply.tail_owner = model;
//
// The marked field is meaningless until it is sealed: don't read or verify the builder's buffer in between.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cstdint>
#include <vector>

#include "model/model.h"

namespace msfl::model {

// Call while the root table is being built. `field` is the VT_ constant of a field that holds [FeatureMap].
void MarkTail(flatbuffers::FlatBufferBuilder& builder, flatbuffers::voffset_t field);

// The finished buffer, its root table's `field` pointing into the tail, padded to Layout::kAlignment.
// Preconditions: MarkTail was called for `field` of the root table, builder.Finish() too (no size prefix),
// and the buffer has at most Layout::kMaxHeadBytes.
std::vector<std::uint8_t> SealHead(const flatbuffers::FlatBufferBuilder& builder,
                                   flatbuffers::voffset_t field, const Model::Tail& tail);

}  // namespace msfl::model
