// The requests that a device sends and what it reads of the answers: HTTP header and FlatBuffers body.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "model/model.h"

namespace msfl::device_load {

struct Request {
  std::vector<std::uint8_t> head;      // HTTP header and the start of the body
  std::span<const std::uint8_t> tail;  // the rest of the body, shared by all uploads
};

struct Answer {
  int status = 0;           // HTTP
  std::uint64_t bytes = 0;  // of the body
  int retcode = 0;          // 0 with a plain text
  std::int64_t iteration = 0;
  std::string reason;  // or the plain text
};

class RequestMaker {
 public:
  // `features`: names and numbers of elements.
  RequestMaker(std::string host, std::string url_prefix,
               const std::vector<std::pair<std::string, std::size_t>>& features);

  Request StartFlJob(const std::string& fl_id) const;
  Request UpdateModel(const std::string& fl_id, std::int64_t iteration) const;
  Request GetModel(std::int64_t iteration) const;

 private:
  std::vector<std::uint8_t> Header(const char* round, std::size_t body_bytes) const;

  std::string host_, url_prefix_;
  std::shared_ptr<BufferPool> pool_ = BufferPool::Create(0);
  std::shared_ptr<const model::Model> upload_;  // its tail is the body of every upload
};

// Reads retcode, reason and (unless `round_has_iteration` is false) iteration from the first bytes of a body.
void ReadAnswer(std::span<const std::uint8_t> body_start, bool round_has_iteration, Answer& answer);

}  // namespace msfl::device_load
