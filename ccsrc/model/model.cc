#include "model/model.h"

#include <cstring>
#include <utility>

namespace msfl::model {

std::shared_ptr<Model> Model::Make(std::shared_ptr<const Layout> layout, BufferPool& pool) {
  const std::shared_ptr<Model> model(new Model);
  model->layout_ = std::move(layout);
  model->bytes_ = pool.Take(model->layout_->tail_bytes());
  std::uint8_t* bytes = model->bytes_.data();
  const std::span<const std::uint8_t> skeleton = model->layout_->skeleton();
  std::memcpy(bytes, skeleton.data(), skeleton.size());
  model->RestoreLengths();
  return model;
}

void Model::RestoreLengths() {
  for (const Feature& feature : layout_->features()) {
    const auto length = static_cast<std::uint32_t>(feature.elements);
    std::memcpy(bytes_.data() + feature.tail_offset - sizeof length, &length, sizeof length);
  }
}

std::span<const std::uint8_t> Model::float_bytes() const {
  return bytes_.bytes().subspan(layout_->skeleton().size());
}

std::span<std::uint8_t> Model::float_bytes() {
  const std::size_t begin = layout_->skeleton().size();
  return {bytes_.data() + begin, bytes_.size() - begin};
}

std::span<const float> Model::values(std::size_t feature) const {
  const Feature& at = layout_->features()[feature];
  return {reinterpret_cast<const float*>(bytes_.data() + at.tail_offset), at.elements};
}

std::span<float> Model::values(std::size_t feature) {
  const Feature& at = layout_->features()[feature];
  return {reinterpret_cast<float*>(bytes_.data() + at.tail_offset), at.elements};
}

Model::Tail Model::tail(bool only_aggregated) const {
  if (only_aggregated) {
    return {bytes_.bytes().first(layout_->aggregated_tail_bytes()), layout_->aggregated_vector_offset()};
  }
  return {bytes_.bytes().first(layout_->tail_bytes()), layout_->all_vector_offset()};
}

}  // namespace msfl::model
