// JobStore: who is in the cluster.
#include <algorithm>
#include <charconv>
#include <sstream>

#include "cache/job_store_impl.h"

namespace msfl::cache {
namespace {

// In a node's row, where words must not be empty.
constexpr std::string_view kUnknown = "-";

std::string_view HttpWord(const std::string& http_address) {
  return http_address.empty() ? kUnknown : std::string_view(http_address);
}

// `<role> <tcp address> <http address> <epoch>`; the http address was not always there.
struct NodeRow {
  explicit NodeRow(const std::string& text) {
    std::istringstream row(text);
    std::string word;
    std::vector<std::string> words;
    while (row >> word) words.push_back(std::move(word));
    if (words.size() < 3) return;
    role = words[0];
    tcp_address = words[1];
    if (words.size() > 3 && words[2] != kUnknown) http_address = words[2];
    std::from_chars(words.back().data(), words.back().data() + words.back().size(), epoch);
  }
  std::string role, tcp_address, http_address;
  std::uint64_t epoch = 0;
};

// The nodes that this Server knows of, itself first, as scripts want them: a script may only use keys that it
// was given.
class KnownNodes {
 public:
  KnownNodes(const JobKeys& keys, std::vector<std::string> members, const std::string& own)
      : ids_(std::move(members)) {
    std::erase(ids_, own);
    ids_.insert(ids_.begin(), own);
    for (const std::string& id : ids_) alive_.push_back(keys.Alive(id));
  }
  void AppendKeys(std::vector<std::string_view>& keys) const {
    keys.insert(keys.end(), alive_.begin(), alive_.end());
  }
  void AppendIds(std::vector<std::string_view>& arguments) const {
    arguments.insert(arguments.end(), ids_.begin(), ids_.end());
  }

 private:
  std::vector<std::string> ids_, alive_;
};

std::vector<JobStore::ListedServer> ReadServers(const std::vector<RedisValue>& flat,
                                                std::chrono::milliseconds expiry) {
  std::vector<JobStore::ListedServer> servers;
  for (std::size_t i = 0; i + 2 < flat.size(); i += 3) {
    NodeRow row(flat[i + 1].text);
    if (row.role != "SERVER") continue;
    JobStore::ListedServer server;
    server.node.id = flat[i].text;
    server.node.tcp_address = std::move(row.tcp_address);
    server.node.http_address = std::move(row.http_address);
    server.node.epoch = row.epoch;
    server.heartbeat_left_ms = std::max<std::int64_t>(flat[i + 2].integer, 0);
    server.silent_ms = expiry.count() - server.heartbeat_left_ms;
    servers.push_back(std::move(server));
  }
  return servers;
}

}  // namespace

Task<Result<Registered>> JobStore::Register(std::string node_id, std::string tcp_address,
                                            std::string http_address, IterationKey current,
                                            std::string digest, bool silent_are_gone) {
  Digits digits;
  const std::string_view expiry = digits.Text(impl_->options.heartbeat_expiry.count());
  for (int pursuit = 0; pursuit < kPursuits; ++pursuit) {
    const Impl::Context context = impl_->ContextOf(current);
    const IterationKeys& rows = *context.keys;
    const KnownNodes nodes(impl_->keys, impl_->Members(), node_id);
    std::vector<std::string_view> keys{impl_->keys.instance, rows.status, impl_->keys.epoch,
                                       impl_->keys.nodes, impl_->keys.settings};
    nodes.AppendKeys(keys);
    std::vector<std::string_view> arguments{rows.iteration.instance,
                                            node_id,
                                            tcp_address,
                                            HttpWord(http_address),
                                            expiry,
                                            context.rules->job_expiry,
                                            digest,
                                            impl_->options.settings,
                                            silent_are_gone ? "1" : "0"};
    nodes.AppendIds(arguments);
    const auto reply = co_await impl_->redis.Run(Scripts().register_node, keys, arguments);
    if (!reply) co_return reply.error();
    const Items items(*reply);
    const std::uint64_t verdict = items.Count(0);
    if (verdict == 1) {
      Registered registered;
      registered.node.id = std::move(node_id);
      registered.node.tcp_address = std::move(tcp_address);
      registered.node.http_address = std::move(http_address);
      registered.node.epoch = items.Count(1);
      registered.digest = items.Text(2);
      co_return registered;
    }
    if (verdict == 2) {
      Registered refused;
      refused.other_settings = items.Text(1);
      co_return refused;
    }
    if (verdict == 3) {
      impl_->SetMembers(items.Array(1));
    } else {
      current.instance = items.Text(1);
    }
  }
  co_return KeepsMoving();
}

Task<Result<void>> JobStore::Unregister(Node node) {
  const std::string alive = impl_->keys.Alive(node.id);
  Digits digits;
  const std::string_view epoch = digits.Text(node.epoch);
  IterationKey where = impl_->LastSeen();
  for (int pursuit = 0; pursuit < kPursuits; ++pursuit) {
    const Impl::Context context = impl_->ContextOf(where);
    const IterationKeys& rows = *context.keys;
    const std::array<std::string_view, 7> keys{impl_->keys.instance, rows.status,  impl_->keys.nodes,  alive,
                                               rows.round,           rows.updates, impl_->keys.leaving};
    const std::array<std::string_view, 6> arguments{
        rows.iteration.instance,     rows.number, node.id, epoch, context.rules->update_threshold,
        context.rules->update_window};
    const auto reply = co_await impl_->redis.Run(Scripts().unregister, keys, arguments);
    if (!reply) co_return reply.error();
    const Items items(*reply);
    StatusAnswer found = ReadStatus(items);
    if (found.where == StatusAnswer::Where::kGone) co_return Result<void>();
    if (found.where == StatusAnswer::Where::kHere) {
      if (items.Flag(StatusAnswer::kItems)) co_return Result<void>();
      where.number = found.status.current.number;
    }
    where.instance = found.status.current.instance;
  }
  co_return KeepsMoving();
}

Task<Result<std::vector<JobStore::ListedServer>>> JobStore::ListServers() {
  for (int pursuit = 0; pursuit < kPursuits; ++pursuit) {
    const std::vector<std::string> members = impl_->Members();
    std::vector<std::string> names{impl_->keys.nodes};
    for (const auto& id : members) names.push_back(impl_->keys.Alive(id));
    const std::vector<std::string_view> keys(names.begin(), names.end());
    const std::vector<std::string_view> arguments(members.begin(), members.end());
    const auto reply = co_await impl_->redis.Run(Scripts().list_servers, keys, arguments);
    if (!reply) co_return reply.error();
    const Items items(*reply);
    if (items.Flag(0)) co_return ReadServers(items.Array(1), impl_->options.heartbeat_expiry);
    impl_->SetMembers(items.Array(1));
  }
  co_return KeepsMoving();
}

Task<Result<HeartbeatAnswer>> JobStore::Heartbeat(Node node, IterationKey current) {
  const Impl::Context context = impl_->ContextOf(current);
  const IterationKeys& rows = *context.keys;
  const RuleTexts& rules = *context.rules;
  Digits digits;
  const std::string_view epoch = digits.Text(node.epoch);
  const std::string_view expiry = digits.Text(impl_->options.heartbeat_expiry.count());
  for (int pursuit = 0; pursuit < kPursuits; ++pursuit) {
    const KnownNodes nodes(impl_->keys, impl_->Members(), node.id);
    std::vector<std::string_view> keys{
        impl_->keys.instance, rows.status,         rows.hyper,           impl_->keys.model, impl_->keys.epoch,
        impl_->keys.nodes,    impl_->keys.leaving, impl_->keys.settings, rows.round,        rows.updates};
    nodes.AppendKeys(keys);
    std::vector<std::string_view> arguments{rows.iteration.instance,
                                            rows.number,
                                            node.tcp_address,
                                            HttpWord(node.http_address),
                                            epoch,
                                            expiry,
                                            rules.job_expiry,
                                            rules.update_threshold,
                                            rules.update_window,
                                            impl_->options.settings};
    nodes.AppendIds(arguments);
    const auto reply = co_await impl_->redis.Run(Scripts().heartbeat, keys, arguments);
    if (!reply) co_return reply.error();
    const Items items(*reply);
    const std::uint64_t verdict = items.Count(0);
    HeartbeatAnswer answer;
    if (verdict == 2) {
      answer.node = std::move(node);
      answer.other_settings = items.Text(1);
      co_return answer;
    }
    if (verdict == 1) {
      node.epoch = items.Count(1);
      node.leaving = items.Flag(2);
      answer.node = std::move(node);
      for (const RedisValue& id : items.Array(3)) answer.servers.push_back(id.text);
      co_return answer;
    }
    impl_->SetMembers(items.Array(1));
  }
  co_return KeepsMoving();
}

}  // namespace msfl::cache
