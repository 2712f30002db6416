#include "load/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace msfl::load {

namespace {

constexpr unsigned kBits = 7;                                      // 2^7 buckets for each power of two
constexpr std::uint64_t kExact = std::uint64_t{1} << (kBits + 1);  // below, each time has its own bucket

std::size_t BucketOf(std::uint64_t time) {
  if (time < kExact) return static_cast<std::size_t>(time);
  const auto shift = static_cast<unsigned>(std::bit_width(time)) - (kBits + 1);
  return (static_cast<std::size_t>(shift) << kBits) + static_cast<std::size_t>(time >> shift);
}

// The middle of what falls into the bucket.
std::uint64_t TimeOf(std::size_t bucket) {
  if (bucket < kExact) return bucket;
  const std::size_t shift = (bucket >> kBits) - 1;
  const std::uint64_t lowest = ((bucket & ((1U << kBits) - 1)) + (1U << kBits)) << shift;
  return lowest + (std::uint64_t{1} << shift) / 2;
}

}  // namespace

void LatencyHistogram::Add(Nanoseconds time) {
  const auto value = static_cast<std::uint64_t>(std::max<Nanoseconds::rep>(time.count(), 0));
  const std::size_t bucket = BucketOf(value);
  if (bucket >= buckets_.size()) buckets_.resize(bucket + 1);
  ++buckets_[bucket];
  ++count_;
  sum_ += static_cast<double>(value);
  max_ = std::max(max_, value);
}

double LatencyHistogram::mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

LatencyHistogram::Nanoseconds LatencyHistogram::Quantile(double fraction) const {
  if (count_ == 0) return Nanoseconds(0);
  const auto wanted = static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    seen += buckets_[bucket];
    if (seen >= std::max<std::uint64_t>(wanted, 1)) {
      return Nanoseconds(static_cast<Nanoseconds::rep>(std::min(TimeOf(bucket), max_)));
    }
  }
  return max();
}

}  // namespace msfl::load
