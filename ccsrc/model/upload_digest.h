// What an upload is known by when it comes again.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "model/flat_range.h"
#include "model/layout.h"

namespace msfl::model {

// A feature of an upload, already checked: known index, right number of elements, finite.
struct Contribution {
  std::size_t feature;
  const float* values;  // 4-byte aligned
};

// Of the values of aggregated features, of which of them are there, and of what else comes with them. It
// finds differences, not forgeries: a device can only harm itself. Made piece by piece, in any order, while
// the values are in the processor's cache.
class UploadDigest {
 public:
  // The pieces of two digests that are to be compared must be the same: those of the blocks of RunningSum.
  void Add(std::size_t flat_begin, const float* values, std::size_t count);
  void AddOther(std::string_view bytes);  // once
  std::string Text() const;               // 16 hex digits

 private:
  std::uint64_t sum_ = 0;
};

// As RunningSum::Addition makes it.
UploadDigest DigestUpload(const Layout& layout, std::span<const Contribution> upload);

}  // namespace msfl::model
