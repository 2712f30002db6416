// What Servers of one job must agree on about the model: names, sizes and which features are aggregated.
#pragma once

#include <string>

#include "base/error.h"
#include "model/layout.h"

namespace msfl::job {

// ModelDescription of schema/store.fbs.
std::string EncodeModelDescription(const model::Layout& layout);

// Errc::kDisagreement with the literal texts of cluster.md section 2.3: first the number of features, then
// for each published one its name, size and flag.
Result<void> CompareModelDescription(const model::Layout& mine, const std::string& published);

}  // namespace msfl::job
