// What devices report beside their weights, added up: weighted by the (evaluation) data sizes.
#pragma once

#include <cstdint>

namespace msfl::model {

struct Metrics {
  double loss = 0, accuracy = 0;
};

struct MetricSums {
  double loss = 0, accuracy = 0;
  std::uint64_t data_size = 0, eval_data_size = 0;

  void Add(float of_loss, std::uint64_t size, float of_accuracy, std::uint64_t eval_size) {
    loss += static_cast<double>(of_loss) * static_cast<double>(size);
    accuracy += static_cast<double>(of_accuracy) * static_cast<double>(eval_size);
    data_size += size;
    eval_data_size += eval_size;
  }
  void Add(const MetricSums& other) {
    loss += other.loss;
    accuracy += other.accuracy;
    data_size += other.data_size;
    eval_data_size += other.eval_data_size;
  }
  // The plain sum where the weight is 0.
  Metrics Mean() const {
    Metrics mean;
    mean.loss = data_size == 0 ? loss : loss / static_cast<double>(data_size);
    mean.accuracy = eval_data_size == 0 ? accuracy : accuracy / static_cast<double>(eval_data_size);
    return mean;
  }
};

}  // namespace msfl::model
