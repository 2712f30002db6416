// What requests say, decoded a second time: by FlatBuffers' object API, generated from the schema under a
// namespace of its own, and by plain loops. Shares no line with the rounds.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace msfl::fuzz {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

struct FeatureRule {
  std::size_t elements = 0;
  bool aggregated = true;
};
using ModelRules = std::map<std::string, FeatureRule>;
using Values = std::map<std::string, std::vector<float>>;

struct StartRequest {
  bool complete = false;  // fl_id, fl_name and timestamp are there
  std::string fl_id;
  std::int32_t data_size = 0, eval_data_size = 0;
};

struct Upload {
  bool complete = false;  // what must be there is there, and finite where it must be
  std::string fl_id;
  std::int32_t iteration = 0;
  bool fits = false;  // the model
  Values features;    // only if it fits
};

// Nothing when the bytes are not such a message.
std::optional<StartRequest> DecodeStart(ByteView bytes);
std::optional<Upload> DecodeUpload(ByteView bytes, const ModelRules& model);
std::optional<std::int32_t> DecodeGetModel(ByteView bytes);  // the iteration asked for
std::optional<std::int32_t> DecodeGetResult(ByteView bytes);

struct Answer {
  std::int32_t retcode = 0;
  std::string reason;
  std::int32_t iteration = 0;
  bool has_plan = false, is_selected = false;
  std::optional<Values> features;  // absent or the vector, which may be empty
};
std::optional<Answer> DecodeStartAnswer(ByteView bytes);
std::optional<Answer> DecodeUploadAnswer(ByteView bytes);
std::optional<Answer> DecodeModelAnswer(ByteView bytes);
std::optional<Answer> DecodeResultAnswer(ByteView bytes);

}  // namespace msfl::fuzz
