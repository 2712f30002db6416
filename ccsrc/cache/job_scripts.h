// The scripts of the job's record; each is described at the head of its file in cache/scripts.
#pragma once

#include <optional>
#include <string_view>

#include "cache/redis_client.h"

namespace msfl::cache {

struct JobScripts {
  Script join, reserve, commit, withdraw, push_evaluation, open, agree_on_model, register_node, unregister,
      heartbeat, advance, expire, observe, recreate, set_state, new_instance, replace_digest, list_servers,
      summarise, mark_recorded, set_holders, yield_part, take_over, claim_part;
};
const JobScripts& Scripts();

// The whole text of cache/scripts/<name>.lua, for other processes of the job; nothing for any other name.
std::optional<std::string_view> ScriptText(std::string_view name);

}  // namespace msfl::cache
