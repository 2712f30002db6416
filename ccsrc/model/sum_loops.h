// The inner loops of a running sum, compiled for several vector widths; the widest that the processor has is
// used.
#pragma once

#include <cstddef>

namespace msfl::model {

// The ranges don't overlap.
void AssignValues(double* __restrict sums, const float* __restrict values, std::size_t count);
void AddValues(double* __restrict sums, const float* __restrict values, std::size_t count);
void AddSums(double* __restrict sums, const double* __restrict others, std::size_t count);
// out = float32(sums / divisor). False if one of them is NaN or infinite.
[[nodiscard]] bool DivideSums(float* __restrict out, const double* __restrict sums, double divisor,
                              std::size_t count);

}  // namespace msfl::model
