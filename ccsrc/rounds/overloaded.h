// Requests whose bodies found no room in memory: their devices are told to come back later.
#pragma once

#include "net/http_message.h"
#include "rounds/round_context.h"

namespace msfl::rounds {

// Answers safemode for the round, and remembers whoever it can still be read from what was kept of the body,
// so that its restart is not refused. The context outlives it.
net::OverloadedHandler MakeOverloadedHandler(RoundContext& context, Round round, RoundName name);

}  // namespace msfl::rounds
