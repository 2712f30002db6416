// What an upload holds, judged before anything is asked of the cache (rounds.md, 4.2).
#pragma once

#include <string>
#include <vector>

#include "model/layout.h"
#include "model/running_sum.h"
#include "net/http_message.h"
#include "rounds/wire_format.h"

namespace msfl::rounds {

// Fields that must be there, whatever they say: names, data, finite loss and accuracy, well-formed evaluation
// items that hold no more than the message does.
bool HasMandatoryFields(const schema::RequestUpdateModel& message, const net::HttpRequest& request);

struct UploadContent {
  bool accepted = false;
  // Refused because this aggregated feature is missing (only with `require_all`); empty otherwise.
  std::string missing_feature;
  std::vector<model::Contribution> contributions;
};

// Every feature known, named once, of the right size and finite; with `require_all` every aggregated one
// present.
UploadContent JudgeContent(const schema::RequestUpdateModel& message, const net::HttpRequest& request,
                           const model::Layout& layout, bool require_all);

}  // namespace msfl::rounds
