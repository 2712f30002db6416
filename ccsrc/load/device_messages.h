// The requests that devices send, and the model that they learn from their first startFLJob and upload again.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "load/load_options.h"
#include "model/model.h"

namespace msfl::load {

struct Request {
  std::vector<std::uint8_t> head;      // HTTP header and the start of the body
  std::span<const std::uint8_t> tail;  // the rest of the body, shared by all uploads
  std::size_t bytes() const { return head.size() + tail.size(); }
};

class DeviceMessages {
 public:
  // `run` tells the devices of this run from all others.
  DeviceMessages(std::string run, std::int32_t data_size);

  // Makes the upload of all devices: the model's own values times data_size, so that the job's average is the
  // model that it was. Values that other aggregations take for changes are 0. `body`: an accepted
  // ResponseFLJob. Errc::kInvalidArgument: it is damaged, or holds no model.
  Result<void> Learn(std::span<const std::uint8_t> body);
  bool learnt() const { return upload_ != nullptr; }
  std::size_t model_bytes() const { return learnt() ? upload_->tail(false).bytes.size() : 0; }

  // Precondition for updateModel: learnt().
  Request Make(Round round, const Target& target, std::uint64_t device, std::int32_t iteration) const;

 private:
  std::string run_;
  std::int32_t data_size_;
  std::shared_ptr<BufferPool> pool_ = BufferPool::Create(0);
  std::shared_ptr<const model::Model> upload_;
};

}  // namespace msfl::load
