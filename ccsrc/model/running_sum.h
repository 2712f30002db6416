// The sum of an iteration's uploads on this Server.
//
// Precision: sums are float64, so that an element of the result is off by at most 2^-22 * sum|u| / sum n
// whatever the number of updates, and sums of integers below 2^53 are exact. float32 sums folded into float64
// every few updates would keep the bound and touch less memory, but lose the integers;
// benchmarks/running_sum.cc has both, for comparison.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/error.h"
#include "model/layout.h"
#include "model/model.h"
#include "model/upload_digest.h"

namespace msfl::model {

class RunningSum {
 public:
  // Large enough that a lock costs nothing beside the adding (some 10 us), small enough that a block (256 KB
  // of sums) stays in the second-level cache and that waiting for one is short.
  static constexpr std::size_t kBlockElements = 32 * 1024;

  RunningSum(std::shared_ptr<const Layout> layout, BufferPool& pool);
  ~RunningSum();

  // Adds an upload of a device with `data_size` samples (its values are already multiplied by it). Features
  // that are not aggregated are ignored; of one named twice the last counts. Thread-safe: blocks of the flat
  // range have their own locks, and callers start at different blocks. The first upload of a block assigns,
  // so that a fresh sum needs no zero fill.
  void Add(std::span<const Contribution> upload, std::uint64_t data_size);

  // The same in steps of about a millisecond, so that an event loop can serve others in between: adding
  // 100 MB takes it 20 to 30 ms, and over a second when the sum's memory is new.
  //
  //   RunningSum::Addition addition(sum, contributions, data_size);
  //   while (!addition.Step()) co_await ...;
  //
  // Each step may run on another thread. What `upload` points to has to stay until the last step. One that is
  // begun has to be brought to its end, or the sum is spoilt.
  class Addition {
   public:
    Addition(RunningSum& sum, std::span<const Contribution> upload, std::uint64_t data_size);
    // The sum was sealed before: nothing is added, nothing counted.
    bool late() const { return late_; }
    // True when everything is added.
    bool Step();
    // Of the upload, once it is added.
    const UploadDigest& digest() const { return digest_; }

   private:
    RunningSum& sum_;
    const bool late_;
    std::vector<const float*> values_of_feature_;  // null: not sent, or not aggregated
    std::size_t start_ = 0, done_ = 0;             // blocks
    UploadDigest digest_;
  };

  // True if the adding of exactly so many uploads has begun; from then on nothing more is added. What other
  // threads have added is seen by the caller afterwards. Idempotent. Precondition: none that has begun is
  // unfinished.
  bool Seal(std::uint64_t expected_uploads);
  // The flat range; where nobody has added, it is zero once sealed, and anything before.
  std::span<const double> sums() const;

  // Sum / total data size of each aggregated feature, the divisor being the data that arrived for that
  // feature; a feature that nobody sent, and those not aggregated, keep the value of `previous`, which has
  // the same layout. Null when a result is NaN or infinite. Precondition: no Add is running, no Addition
  // unfinished.
  std::shared_ptr<Model> Average(const Model& previous, BufferPool& pool) const;

  // Adds all of another sum of the same layout. Precondition: no Add is running in either, and both hold an
  // upload at least.
  void Absorb(const RunningSum& other);
  // A fresh sum becomes a copy: `uploads` with these data sizes, one for each feature; the caller fills the
  // flat range that is answered before anybody else uses the sum.
  std::span<double> Restore(std::span<const std::uint64_t> data_sizes, std::uint64_t uploads);

  // Uploads whose adding has begun.
  std::uint64_t uploads() const { return uploads_.load(std::memory_order_relaxed) & ~kSealed; }
  std::uint64_t data_size(std::size_t feature) const;

 private:
  static constexpr std::uint64_t kSealed = std::uint64_t{1} << 63U;
  struct Block;
  bool Count();  // false: sealed
  std::size_t BlockEnd(std::size_t block) const;
  void AddToBlock(std::size_t block, const std::vector<const float*>& values_of_feature,
                  UploadDigest& digest);

  std::shared_ptr<const Layout> layout_;
  Buffer sums_;
  std::unique_ptr<Block[]> blocks_;
  std::size_t block_count_ = 0;
  std::unique_ptr<std::atomic<std::uint64_t>[]> data_sizes_;
  std::atomic<std::uint64_t> uploads_{0};  // and kSealed
  std::atomic<std::uint64_t> next_start_{0};
};

}  // namespace msfl::model
