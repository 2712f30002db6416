// One model: the bytes that are sent to devices, which are also where its weights live.
#pragma once

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

 private:
  Model() = default;
  std::shared_ptr<const Layout> layout_;
  Buffer bytes_;
};

}  // namespace msfl::model
