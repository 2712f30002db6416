// The cost of adding uploads to a sum, alone: the bare float32 loop, RunningSum (float64), and the
// alternative that was not taken: float32 sums folded into float64 every four uploads, which keeps the
// precision bound but not the exactness of integers. One JSON line for each model size: CPU seconds per GB of
// uploads, medians of five runs.
#include "model/running_sum.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "yardstick/loopback.h"

namespace {

using msfl::model::Contribution;
using msfl::model::Layout;
using msfl::model::RunningSum;

constexpr std::size_t kBlock = 32 * 1024;
constexpr std::size_t kFoldEvery = 4;

void AddFloats(float* __restrict sums, const float* __restrict values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) sums[i] += values[i];
}

class FoldedSum {
 public:
  explicit FoldedSum(std::size_t elements) : fresh_(elements), folded_(elements, 0.0) {}
  void Add(const float* values) {
    for (std::size_t from = 0; from < fresh_.size(); from += kBlock) {
      const std::size_t count = std::min(kBlock, fresh_.size() - from);
      float* __restrict fresh = fresh_.data() + from;
      const float* __restrict upload = values + from;
      double* __restrict folded = folded_.data() + from;
      const std::size_t phase = uploads_ % kFoldEvery;
      if (phase == 0) {
        std::copy_n(upload, count, fresh);
      } else if (phase < kFoldEvery - 1) {
        AddFloats(fresh, upload, count);
      } else {
        for (std::size_t i = 0; i < count; ++i) folded[i] += fresh[i] + upload[i];
      }
    }
    ++uploads_;
  }

 private:
  std::vector<float> fresh_;
  std::vector<double> folded_;
  std::size_t uploads_ = 0;
};

double Median(std::array<double, 5> runs) {
  std::ranges::sort(runs);
  return runs[2];
}

}  // namespace

int main() {
  for (const double megabytes : {0.25, 10.0, 100.0}) {
    const auto elements = static_cast<std::size_t>(megabytes * 1e6 / sizeof(float));
    const std::size_t adds = std::max<std::size_t>(12, static_cast<std::size_t>(1000 / megabytes));
    // As many buffers as a Server has in use, so that an upload is not in the first-level cache when it is
    // added.
    const std::vector<std::vector<float>> uploads(4, std::vector<float>(elements, 1.5F));
    const auto pool = msfl::BufferPool::Create(std::size_t{1} << 30);
    msfl::model::Feature feature;
    feature.name = "all";
    feature.shape = {static_cast<std::int64_t>(elements)};
    const auto layout = Layout::Make({feature}).value();
    std::vector<float> bare(elements, 0.0F);
    FoldedSum folded(elements);
    RunningSum sum(layout, *pool);
    const auto add_to_sum = [&](std::size_t i) {
      const std::array upload{Contribution{0, uploads[i % uploads.size()].data()}};
      sum.Add(upload, 1);
    };

    const auto measure = [&](const std::function<void(std::size_t)>& add) {
      for (std::size_t i = 0; i < 4; ++i) add(i);
      const double before = msfl::yardstick::CpuSeconds();
      for (std::size_t i = 0; i < adds; ++i) add(i);
      return (msfl::yardstick::CpuSeconds() - before) /
             (1e-9 * static_cast<double>(adds * elements * sizeof(float)));
    };
    std::array<double, 5> bare_runs{};
    std::array<double, 5> sum_runs{};
    std::array<double, 5> folded_runs{};
    std::array<double, 5> two_threads{};
    for (std::size_t run = 0; run < 5; ++run) {
      bare_runs[run] =
          measure([&](std::size_t i) { AddFloats(bare.data(), uploads[i % 4].data(), elements); });
      sum_runs[run] = measure(add_to_sum);
      folded_runs[run] = measure([&](std::size_t i) { folded.Add(uploads[i % 4].data()); });
      two_threads[run] = measure([&](std::size_t i) {
        if (i % 8 != 0) return;  // four uploads for each of two threads
        std::thread other([&] {
          for (std::size_t k = 0; k < 4; ++k) add_to_sum(k);
        });
        for (std::size_t k = 0; k < 4; ++k) add_to_sum(k + 1);
        other.join();
      });
    }
    std::printf(
        "{\"benchmark\": \"running_sum\", \"mb\": %g, \"unit\": \"cpu_s_per_gb\", \"bare_float32\": %.4f, "
        "\"float64\": %.4f, \"float64_two_threads\": %.4f, \"float32_folded\": %.4f, \"check\": %g}\n",
        megabytes, Median(bare_runs), Median(sum_runs), Median(two_threads), Median(folded_runs),
        static_cast<double>(bare[elements - 1]));
  }
}
