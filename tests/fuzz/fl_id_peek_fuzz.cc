// Who sent a message of which only the beginning and the end were kept: never beyond what was kept, and of a
// valid message the right name or none.
//
// The input: a byte that says how much of each end is kept (255: everything), then the message.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "rounds/partial_message.h"
#include "schema/fl_job_generated.h"
#include "upload_oracle.h"

namespace {

namespace schema = mindspore_federated::schema;
using msfl::fuzz::ByteView;
using msfl::rounds::PartialMessage;

void Promise(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "==BROKEN PROMISE== %s\n", promise);
  std::abort();
}

// Alone in memory, so that a read beyond its end is seen.
struct Piece {
  explicit Piece(ByteView from) : bytes(std::make_unique<std::uint8_t[]>(from.size())), size(from.size()) {
    if (size > 0) std::memcpy(bytes.get(), from.data(), size);
  }
  ByteView view() const { return {bytes.get(), size}; }
  std::unique_ptr<std::uint8_t[]> bytes;
  std::size_t size;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMostBytes = 256;
  if (size < 1) return 0;
  const ByteView message(data + 1, size - 1);
  const std::size_t kept = data[0] == 255 ? message.size() : std::size_t{data[0]} * 4;
  const std::size_t head = std::min(kept, message.size());
  const Piece first(message.first(head)), last(message.last(std::min(kept, message.size() - head)));
  const PartialMessage partial{first.view(), last.view(), message.size()};
  const bool whole = first.size + last.size == message.size();

  const auto start = msfl::rounds::PeekString(partial, schema::RequestFLJob::VT_FL_ID, kMostBytes);
  const auto update = msfl::rounds::PeekString(partial, schema::RequestUpdateModel::VT_FL_ID, kMostBytes);
  const auto iteration = msfl::rounds::PeekInt(partial, schema::RequestUpdateModel::VT_ITERATION);
  Promise(!start || start->size() <= kMostBytes, "no longer name than is allowed");
  if (const auto request = msfl::fuzz::DecodeStart(message)) {
    const bool readable = request->complete && request->fl_id.size() <= kMostBytes;
    if (readable) Promise(start ? *start == request->fl_id : !whole, "the name of who starts");
    if (request->fl_id.size() > kMostBytes) Promise(!start, "no name that is too long");
  }
  if (const auto upload = msfl::fuzz::DecodeUpload(message, {})) {
    const bool readable = upload->complete && upload->fl_id.size() <= kMostBytes;
    if (readable) Promise(update ? *update == upload->fl_id : !whole, "the name of who uploads");
    Promise(iteration ? *iteration == upload->iteration : !whole, "the iteration of an upload");
  }
  return 0;
}
