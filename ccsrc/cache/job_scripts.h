// The scripts of the job's record; each is described at the head of its file in cache/scripts.
#pragma once

#include "cache/redis_client.h"

namespace msfl::cache {

struct JobScripts {
  Script join, reserve, commit, withdraw, open, agree_on_model, register_node, unregister, heartbeat, advance,
      expire, observe, recreate, set_state;
};
const JobScripts& Scripts();

}  // namespace msfl::cache
