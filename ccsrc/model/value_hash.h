// XXH3 of values in memory, with the widest instructions of the processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace msfl::model {

// XXH3, 64 bits; the same on every processor.
std::uint64_t HashValues(const void* bytes, std::size_t size, std::uint64_t seed);

// The same by AVX2, which the processor has to have. In a file of its own that is compiled for it: xxhash
// chooses its instructions when it is compiled, and Debian's library is not built to choose at run time.
std::uint64_t HashValuesByAvx2(const void* bytes, std::size_t size, std::uint64_t seed);

}  // namespace msfl::model
