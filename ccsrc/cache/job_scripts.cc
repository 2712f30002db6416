#include "cache/job_scripts.h"

#include "cache/script_sources.h"

namespace msfl::cache {

const JobScripts& Scripts() {
  static const JobScripts scripts{
      .join = Script("join", source::join),
      .reserve = Script("reserve", source::reserve),
      .commit = Script("commit", source::commit),
      .withdraw = Script("withdraw", source::withdraw),
      .push_evaluation = Script("push_evaluation", source::push_evaluation),
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
      .new_instance = Script("new_instance", source::new_instance),
      .replace_digest = Script("replace_digest", source::replace_digest),
      .list_servers = Script("list_servers", source::list_servers),
      .summarise = Script("summarise", source::summarise),
      .mark_recorded = Script("mark_recorded", source::mark_recorded),
      .set_holders = Script("set_holders", source::set_holders),
      .yield_part = Script("yield_part", source::yield_part),
      .take_over = Script("take_over", source::take_over),
      .claim_part = Script("claim_part", source::claim_part),
  };
  return scripts;
}

std::optional<std::string_view> ScriptText(std::string_view name) {
  for (const auto& script : source::kAll) {
    if (name == script.name) return script.text;
  }
  return std::nullopt;
}

}  // namespace msfl::cache
