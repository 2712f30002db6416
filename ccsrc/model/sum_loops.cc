#include "model/sum_loops.h"

#include <bit>
#include <cstdint>

#if defined(MSFL_NO_TARGET_CLONES) || !defined(__x86_64__)
#define MSFL_VECTOR_WIDTHS
#else
#define MSFL_VECTOR_WIDTHS __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
// GCC vectorises loops of unknown length at -O3 only; these have to be fast in every optimised build.
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#pragma GCC optimize("O3")
#endif

namespace msfl::model {

MSFL_VECTOR_WIDTHS
void AssignValues(double* __restrict sums, const float* __restrict values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) sums[i] = values[i];
}

MSFL_VECTOR_WIDTHS
void AddValues(double* __restrict sums, const float* __restrict values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) sums[i] += values[i];
}

MSFL_VECTOR_WIDTHS
void AddSums(double* __restrict sums, const double* __restrict others, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) sums[i] += others[i];
}

MSFL_VECTOR_WIDTHS
bool DivideSums(float* __restrict out, const double* __restrict sums, double divisor, std::size_t count) {
  constexpr std::uint32_t kExponent = 0x7F800000;
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(sums[i] / divisor);
    out[i] = value;
    // A comparison would be folded away or trap; the bits of the exponent tell.
    found |= static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(value) & kExponent) == kExponent);
  }
  return found == 0;
}

}  // namespace msfl::model
