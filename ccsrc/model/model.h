// One model: the bytes that are sent to devices, which are also where its weights live.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "base/buffer.h"
#include "model/layout.h"

namespace msfl::model {

class Model {
 public:
  // Uninitialised floats; fill them through `values` before sharing the model.
  static std::shared_ptr<Model> Make(std::shared_ptr<const Layout> layout, BufferPool& pool);

  const Layout& layout() const { return *layout_; }
  const std::shared_ptr<const Layout>& layout_ptr() const { return layout_; }
  std::span<const float> values(std::size_t feature) const;
  std::span<float> values(std::size_t feature);

  // The shared part of an answer, and where its `feature_map` vector begins (see Layout).
  struct Tail {
    std::span<const std::uint8_t> bytes;
    std::size_t vector_offset;
  };
  Tail tail(bool only_aggregated) const;

  // All floats with the length that stands before those of each feature (flat_range.h): how a model travels
  // between Servers.
  std::span<const std::uint8_t> float_bytes() const;
  std::span<std::uint8_t> float_bytes();
  // To be called when bytes with lengths in between came from elsewhere.
  void RestoreLengths();

  // Whether those who still read the tail are to be cut off: it has left the history, and too much memory is
  // held for slow readers (History). No part of the value: it may change while the model is shared.
  const std::atomic<bool>& withdrawn() const { return withdrawn_; }
  void SetWithdrawn(bool withdrawn) const { withdrawn_.store(withdrawn, std::memory_order_relaxed); }
  std::size_t bytes() const { return bytes_.capacity(); }

 private:
  Model() = default;
  std::shared_ptr<const Layout> layout_;
  Buffer bytes_;
  mutable std::atomic<bool> withdrawn_{false};
};

}  // namespace msfl::model
