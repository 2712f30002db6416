// Times in buckets whose width grows with the time: 128 for each power of two. A quantile is right to 0.4 %.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace msfl::load {

class LatencyHistogram {
 public:
  using Nanoseconds = std::chrono::nanoseconds;

  // Negative times count as 0.
  void Add(Nanoseconds time);

  std::uint64_t count() const { return count_; }
  Nanoseconds max() const { return Nanoseconds(max_); }  // exact
  double mean() const;                                   // ns, exact; 0 if empty
  // Smallest time that at least `fraction` (0 to 1) of all do not exceed; 0 if empty.
  Nanoseconds Quantile(double fraction) const;

 private:
  std::vector<std::uint64_t> buckets_;  // as many as were needed so far
  std::uint64_t count_ = 0, max_ = 0;
  double sum_ = 0;
};

}  // namespace msfl::load
