#include "model/running_sum.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "model/flat_range.h"
#include "model/sum_loops.h"

namespace msfl::model {

namespace {

constexpr std::size_t kStepBlocks = 32;  // 4 MB of an upload

}  // namespace

struct alignas(64) RunningSum::Block {
  std::mutex mutex;
  bool touched = false;           // its sums hold something; guarded by mutex
  std::size_t first_feature = 0;  // position in aggregated_ of the feature that its first element belongs to
};

RunningSum::RunningSum(std::shared_ptr<const Layout> layout, BufferPool& pool) : layout_(std::move(layout)) {
  const std::vector<Feature>& features = layout_->features();
  const std::vector<std::size_t>& aggregated = layout_->aggregated();
  data_sizes_ = std::make_unique<std::atomic<std::uint64_t>[]>(features.size());
  sums_ = pool.Take(layout_->aggregated_elements() * sizeof(double));
  block_count_ = (layout_->aggregated_elements() + kBlockElements - 1) / kBlockElements;
  blocks_ = std::make_unique<Block[]>(block_count_);
  std::size_t feature = 0;
  for (std::size_t block = 0; block < block_count_; ++block) {
    const std::size_t first = block * kBlockElements;
    while (features[aggregated[feature]].sum_offset + features[aggregated[feature]].elements <= first)
      ++feature;
    blocks_[block].first_feature = feature;
  }
}

RunningSum::~RunningSum() = default;

RunningSum::Addition::Addition(RunningSum& sum, std::span<const Contribution> upload, std::uint64_t data_size)
    : sum_(sum), late_(!sum.Count()) {
  if (late_) return;
  values_of_feature_.resize(sum.layout_->features().size(), nullptr);
  const std::vector<Feature>& features = sum.layout_->features();
  for (const Contribution& contribution : upload) {
    if (!features[contribution.feature].require_aggr) continue;
    const float*& values = values_of_feature_[contribution.feature];
    if (values == nullptr) {
      sum.data_sizes_[contribution.feature].fetch_add(data_size, std::memory_order_relaxed);
    }
    values = contribution.values;
  }
  // Multiples of the golden ratio: any number of concurrent additions is spread over the blocks.
  const std::uint64_t turn = sum.next_start_.fetch_add(0x9E3779B97F4A7C15U, std::memory_order_relaxed);
  if (sum.block_count_ > 0) start_ = (turn >> 32U) % sum.block_count_;
}

bool RunningSum::Count() {
  std::uint64_t count = uploads_.load(std::memory_order_relaxed);
  do {
    if ((count & kSealed) != 0) return false;
  } while (!uploads_.compare_exchange_weak(count, count + 1, std::memory_order_relaxed));
  return true;
}

bool RunningSum::Addition::Step() {
  if (late_) return true;
  const std::size_t blocks = sum_.block_count_;
  const std::size_t end = std::min(done_ + kStepBlocks, blocks);
  for (; done_ < end; ++done_) sum_.AddToBlock((start_ + done_) % blocks, values_of_feature_, digest_);
  return done_ == blocks;
}

void RunningSum::Add(std::span<const Contribution> upload, std::uint64_t data_size) {
  Addition addition(*this, upload, data_size);
  while (!addition.Step()) {
  }
}

void RunningSum::AddToBlock(std::size_t block_index, const std::vector<const float*>& values_of_feature,
                            UploadDigest& digest) {
  const std::vector<Feature>& features = layout_->features();
  auto* const sums = reinterpret_cast<double*>(sums_.data());
  Block& block = blocks_[block_index];
  const std::size_t begin = block_index * kBlockElements;
  const std::size_t end = BlockEnd(block_index);
  const std::vector<std::size_t>& aggregated = layout_->aggregated();
  const std::lock_guard lock(block.mutex);
  for (std::size_t position = block.first_feature; position < aggregated.size(); ++position) {
    const Feature& feature = features[aggregated[position]];
    if (feature.sum_offset >= end) break;
    const std::size_t from = std::max(begin, feature.sum_offset);
    const std::size_t count = std::min(end, feature.sum_offset + feature.elements) - from;
    const float* values = values_of_feature[aggregated[position]];
    if (values != nullptr) values += from - feature.sum_offset;
    if (block.touched) {
      if (values != nullptr) AddValues(sums + from, values, count);
    } else if (values != nullptr) {
      AssignValues(sums + from, values, count);
    } else {
      std::memset(sums + from, 0, count * sizeof(double));
    }
    // Now that they are in the processor's cache.
    if (values != nullptr) digest.Add(from, values, count);
  }
  block.touched = true;
}

std::size_t RunningSum::BlockEnd(std::size_t block) const {
  return std::min((block + 1) * kBlockElements, layout_->aggregated_elements());
}

bool RunningSum::Seal(std::uint64_t expected_uploads) {
  std::uint64_t count = uploads_.load(std::memory_order_relaxed);
  do {
    if ((count & ~kSealed) != expected_uploads) return false;
  } while (!uploads_.compare_exchange_weak(count, count | kSealed, std::memory_order_relaxed));
  auto* const sums = reinterpret_cast<double*>(sums_.data());
  for (std::size_t block = 0; block < block_count_; ++block) {
    const std::lock_guard lock(blocks_[block].mutex);
    if (blocks_[block].touched) continue;
    std::fill(sums + block * kBlockElements, sums + BlockEnd(block), 0.0);
    blocks_[block].touched = true;
  }
  return true;
}

std::span<const double> RunningSum::sums() const {
  return {reinterpret_cast<const double*>(sums_.data()), layout_->aggregated_elements()};
}

std::shared_ptr<Model> RunningSum::Average(const Model& previous, BufferPool& pool) const {
  // What other threads have added is seen here even if the caller heard of it by other means than memory.
  for (std::size_t block = 0; block < block_count_; ++block) const std::lock_guard lock(blocks_[block].mutex);
  std::vector<std::uint64_t> data_sizes(layout_->features().size());
  for (std::size_t i = 0; i < data_sizes.size(); ++i) data_sizes[i] = data_size(i);
  std::shared_ptr<Model> model = Model::Make(layout_, pool);
  CopyNotAggregated(previous, *model);
  if (!AverageRange(sums(), 0, data_sizes, previous, *model)) return nullptr;
  return model;
}

void RunningSum::Absorb(const RunningSum& other) {
  auto* const sums = reinterpret_cast<double*>(sums_.data());
  for (std::size_t block = 0; block < block_count_; ++block) {
    const std::scoped_lock lock(blocks_[block].mutex, other.blocks_[block].mutex);
    const std::size_t begin = block * kBlockElements;
    AddSums(sums + begin, other.sums().data() + begin, BlockEnd(block) - begin);
  }
  for (std::size_t i = 0; i < layout_->features().size(); ++i)
    data_sizes_[i].fetch_add(other.data_size(i), std::memory_order_relaxed);
  uploads_.fetch_add(other.uploads(), std::memory_order_relaxed);
}

std::span<double> RunningSum::Restore(std::span<const std::uint64_t> data_sizes, std::uint64_t uploads) {
  for (std::size_t i = 0; i < data_sizes.size(); ++i)
    data_sizes_[i].store(data_sizes[i], std::memory_order_relaxed);
  uploads_.store(uploads, std::memory_order_relaxed);
  for (std::size_t block = 0; block < block_count_; ++block) blocks_[block].touched = true;
  return {reinterpret_cast<double*>(sums_.data()), layout_->aggregated_elements()};
}

std::uint64_t RunningSum::data_size(std::size_t feature) const {
  return data_sizes_[feature].load(std::memory_order_relaxed);
}

}  // namespace msfl::model
