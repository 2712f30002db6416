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

}  // namespace

Task<Result<Node>> JobStore::Register(std::string node_id, std::string tcp_address,
                                      std::string http_address) {
  const Impl::Context context = impl_->ContextOf(impl_->LastSeen());
  Digits digits;
  const std::string alive = impl_->keys.Alive(node_id);
  const std::array<std::string_view, 4> keys{impl_->keys.instance, impl_->keys.epoch, impl_->keys.nodes,
                                             alive};
  const std::array<std::string_view, 5> arguments{node_id, tcp_address, HttpWord(http_address),
                                                  digits.Text(impl_->options.heartbeat_expiry.count()),
                                                  context.rules->job_expiry};
  const auto reply = co_await impl_->redis.Run(Scripts().register_node, keys, arguments);
  if (!reply) co_return reply.error();
  Node node;
  node.id = std::move(node_id);
  node.tcp_address = std::move(tcp_address);
  node.http_address = std::move(http_address);
  node.epoch = static_cast<std::uint64_t>(reply->integer);
  co_return node;
}

Task<Result<void>> JobStore::Unregister(Node node) {
  const std::string alive = impl_->keys.Alive(node.id);
  Digits digits;
  const std::string_view epoch = digits.Text(node.epoch);
  IterationKey where = impl_->LastSeen();
  for (int pursuit = 0; pursuit < kPursuits; ++pursuit) {
    const Impl::Context context = impl_->ContextOf(where);
    const IterationKeys& rows = *context.keys;
    const std::array<std::string_view, 6> keys{impl_->keys.instance, rows.status, impl_->keys.nodes, alive,
                                               rows.round,           rows.updates};
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
  std::vector<std::string> list_nodes{"HGETALL", impl_->keys.nodes};
  const auto nodes = co_await impl_->redis.Command(std::move(list_nodes));
  if (!nodes) co_return nodes.error();
  std::vector<ListedServer> servers;
  for (std::size_t i = 0; i + 1 < nodes->array.size(); i += 2) {
    NodeRow row(nodes->array[i + 1].text);
    if (row.role != "SERVER") continue;
    ListedServer server;
    server.node.id = nodes->array[i].text;
    server.node.tcp_address = std::move(row.tcp_address);
    server.node.http_address = std::move(row.http_address);
    server.node.epoch = row.epoch;
    std::vector<std::string> ask_expiry{"PTTL", impl_->keys.Alive(server.node.id)};
    const auto left = co_await impl_->redis.Command(std::move(ask_expiry));
    if (!left) co_return left.error();
    server.heartbeat_left_ms = std::max<std::int64_t>(left->integer, 0);
    servers.push_back(std::move(server));
  }
  co_return servers;
}

Task<Result<Node>> JobStore::Heartbeat(Node node, IterationKey current) {
  const Impl::Context context = impl_->ContextOf(current);
  const IterationKeys& rows = *context.keys;
  const RuleTexts& rules = *context.rules;
  Digits digits;
  const std::string_view epoch = digits.Text(node.epoch);
  const std::string_view expiry = digits.Text(impl_->options.heartbeat_expiry.count());
  for (int pursuit = 0; pursuit < kPursuits; ++pursuit) {
    const std::vector<std::string> others = impl_->Others(node.id);
    std::vector<std::string> alive;
    alive.push_back(impl_->keys.Alive(node.id));
    for (const auto& id : others) alive.push_back(impl_->keys.Alive(id));

    std::vector<std::string_view> keys{impl_->keys.instance, rows.status,       rows.hyper, impl_->keys.model,
                                       impl_->keys.epoch,    impl_->keys.nodes, rows.round, rows.updates};
    keys.insert(keys.end(), alive.begin(), alive.end());
    std::vector<std::string_view> arguments{rows.iteration.instance,
                                            rows.number,
                                            node.tcp_address,
                                            HttpWord(node.http_address),
                                            epoch,
                                            expiry,
                                            rules.job_expiry,
                                            rules.update_threshold,
                                            rules.update_window,
                                            node.id};
    arguments.insert(arguments.end(), others.begin(), others.end());
    const auto reply = co_await impl_->redis.Run(Scripts().heartbeat, keys, arguments);
    if (!reply) co_return reply.error();
    const Items items(*reply);
    if (items.Flag(0)) {
      node.epoch = items.Count(1);
      co_return node;
    }
    impl_->SetMembers(items.Array(1));
  }
  co_return KeepsMoving();
}

}  // namespace msfl::cache
