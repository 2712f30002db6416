// Layouts and models for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/model.h"

namespace msfl::model {

inline Feature Declare(std::string name, std::vector<std::int64_t> shape, bool require_aggr = true) {
  Feature feature;
  feature.name = std::move(name);
  feature.shape = std::move(shape);
  feature.require_aggr = require_aggr;
  return feature;
}

inline std::shared_ptr<const Layout> MakeLayout(std::vector<Feature> features) {
  auto layout = Layout::Make(std::move(features));
  EXPECT_TRUE(layout) << layout.error().text;
  return layout ? *layout : nullptr;
}

// Every float of the model is different: 1000 * feature + position, plus `base`.
inline std::shared_ptr<Model> MakeModel(std::shared_ptr<const Layout> layout, BufferPool& pool,
                                        float base = 0) {
  auto model = Model::Make(std::move(layout), pool);
  for (std::size_t i = 0; i < model->layout().features().size(); ++i) {
    const auto values = model->values(i);
    for (std::size_t j = 0; j < values.size(); ++j) {
      values[j] = base + 1000.0F * static_cast<float>(i) + static_cast<float>(j);
    }
  }
  return model;
}

}  // namespace msfl::model
