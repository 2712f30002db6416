#include "cache/job_scripts.h"

#include "cache/script_sources.h"

namespace msfl::cache {

const JobScripts& Scripts() {
  static const JobScripts scripts{
      .join = Script("join", source::join),
      .reserve = Script("reserve", source::reserve),
      .commit = Script("commit", source::commit),
      .withdraw = Script("withdraw", source::withdraw),
      .open = Script("open", source::open),
      .agree_on_model = Script("agree_on_model", source::agree_on_model),
      .register_node = Script("register_node", source::register_node),
      .unregister = Script("unregister", source::unregister),
      .heartbeat = Script("heartbeat", source::heartbeat),
      .advance = Script("advance", source::advance),
      .expire = Script("expire", source::expire),
      .observe = Script("observe", source::observe),
      .recreate = Script("recreate", source::recreate),
      .set_state = Script("set_state", source::set_state),
  };
  return scripts;
}

}  // namespace msfl::cache
