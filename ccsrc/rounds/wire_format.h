// FlatBuffers in and out of a round.
#pragma once

#include <cstdint>
#include <string>

#include "net/http_message.h"
#include "schema/fl_job_generated.h"

namespace msfl::rounds {

namespace schema = mindspore_federated::schema;

inline constexpr std::int32_t kSucceed = static_cast<std::int32_t>(schema::ResponseCode::SUCCEED);
inline constexpr std::int32_t kNotReady = static_cast<std::int32_t>(schema::ResponseCode::SucNotReady);
inline constexpr std::int32_t kOutOfTime = static_cast<std::int32_t>(schema::ResponseCode::OutOfTime);
inline constexpr std::int32_t kRequestError = static_cast<std::int32_t>(schema::ResponseCode::RequestError);

// The root table, or null when the buffer is not a valid one.
template <class Table>
const Table* VerifiedRoot(const net::HttpRequest& request) {
  // The verifier only asserts this.
  if (request.body.size() >= FLATBUFFERS_MAX_BUFFER_SIZE) return nullptr;
  constexpr flatbuffers::uoffset_t kMaxDepth = 64, kMaxTables = 1'000'000;
  flatbuffers::Verifier verifier(request.body.data(), request.body.size(), kMaxDepth, kMaxTables);
  if (!verifier.VerifyBuffer<Table>(nullptr)) return nullptr;
  return flatbuffers::GetRoot<Table>(request.body.data());
}

inline std::vector<std::uint8_t> Bytes(const flatbuffers::FlatBufferBuilder& builder) {
  const std::uint8_t* begin = builder.GetBufferPointer();
  return {begin, begin + builder.GetSize()};
}

// `next_req_time` and `timestamp`: decimal Unix milliseconds.
inline std::string TimeText(std::int64_t milliseconds) { return std::to_string(milliseconds); }

}  // namespace msfl::rounds
