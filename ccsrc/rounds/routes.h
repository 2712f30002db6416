// The paths at which the rounds are served.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/http_message.h"
#include "rounds/round_context.h"

namespace msfl::rounds {

// What stands in front of a round's name: `text` with one slash on each side, "/" if nothing is between
// slashes.
std::string UrlPrefix(std::string_view text);

// The routes of all rounds that exist in this configuration, below `options.http_url_prefix`, and
// `exportModel` for the management plane. The context outlives them.
std::vector<net::HttpRoute> MakeRoutes(RoundContext& context);

}  // namespace msfl::rounds
