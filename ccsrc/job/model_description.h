// What Servers of one job must agree on about the model: names, sizes and which features are aggregated.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/layout.h"

namespace msfl::job {

// ModelDescription of schema/store.fbs.
std::string EncodeModelDescription(const model::Layout& layout);

// Errc::kDisagreement. The text begins with a literal one of cluster.md section 2.3 (first the number of
// features, then for each published one its name, size and flag) and goes on with one line for each feature
// that differs, at most kListedDifferences of them.
inline constexpr std::size_t kListedDifferences = 20;
Result<void> CompareModelDescription(const std::vector<model::Feature>& mine, const std::string& published);

}  // namespace msfl::job
