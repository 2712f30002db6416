#include "redis_in_memory.h"

#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "cache/redis_client.h"

namespace msfl::fuzz {
namespace {

using cache::RedisValue;
using Words = std::span<const std::string_view>;

RedisValue Integer(std::uint64_t number) {
  RedisValue value;
  value.kind = RedisValue::Kind::kInteger;
  value.integer = static_cast<std::int64_t>(number);
  return value;
}

RedisValue Text(std::string text) {
  RedisValue value;
  value.kind = RedisValue::Kind::kText;
  value.text = std::move(text);
  return value;
}

RedisValue Array(std::vector<RedisValue> items) {
  RedisValue value;
  value.kind = RedisValue::Kind::kArray;
  value.array = std::move(items);
  return value;
}

std::uint64_t Number(std::string_view text) { return std::strtoull(std::string(text).c_str(), nullptr, 10); }

constexpr std::uint64_t kDeadlineMs = 600'000;

// GONE is never the case here.
RedisValue Status(const CacheRecord& record, std::string_view asked, std::vector<RedisValue> more = {}) {
  if (asked != record.instance) return Array({Integer(1), Text(record.instance)});
  std::vector<RedisValue> items{Integer(2),
                                Text(record.instance),
                                Text(std::to_string(record.iteration)),
                                Text(std::to_string(record.state)),
                                Text(record.valid ? "1" : "0"),
                                Text(record.reason),
                                Text(record.digest)};
  for (RedisValue& item : more) items.push_back(std::move(item));
  return Array(std::move(items));
}

bool IsCurrent(const CacheRecord& record, Words arguments) {
  return arguments[0] == record.instance && arguments[1] == std::to_string(record.iteration) &&
         record.state == 0;
}

RedisValue Join(CacheRecord& record, Words a) {
  const auto answer = [&](std::uint64_t verdict, bool first = false, bool last = false) {
    return Array(
        {Integer(verdict), Integer(record.started), Integer(first), Integer(last), Integer(kDeadlineMs)});
  };
  const std::string fl_id(a[2]), nonce(a[5]);
  const bool content_accepted = a[6] == "1";
  const std::uint64_t threshold = Number(a[7]);
  if (!IsCurrent(record, a) || record.withdrawn.contains(nonce)) return answer(1);
  const auto device = record.devices.find(fl_id);
  if (device != record.devices.end() && device->second.nonce == nonce) return answer(0);
  if (device != record.devices.end() && device->second.nonce == "*" && content_accepted) {
    device->second = {Number(a[3]), Number(a[4]), nonce};
    return answer(0);
  }
  if (record.started >= threshold) return answer(2);
  if (!content_accepted) return answer(3);
  if (device != record.devices.end()) return answer(4);
  record.devices[fl_id] = {Number(a[3]), Number(a[4]), nonce};
  ++record.started;
  return answer(0, record.started == 1, record.started >= threshold);
}

RedisValue Reserve(CacheRecord& record, Words a) {
  const std::string fl_id(a[2]), nonce(a[3]);
  if (record.everybody_joined && !record.devices.contains(fl_id)) {
    record.devices[fl_id] = {UnaskedDataSize(fl_id), UnaskedDataSize(fl_id) % 100, "unasked"};
  }
  const auto device = record.devices.find(fl_id);
  const auto update = record.updates.find(fl_id);
  const bool joined = device != record.devices.end();
  const auto answer = [&](std::uint64_t verdict, bool first = false, bool full = false) {
    return Array({Integer(verdict), Integer(joined ? device->second.data_size : 0),
                  Integer(joined ? device->second.eval_data_size : 0), Integer(1), Integer(2),
                  Integer(record.leased + record.counted), Integer(first), Integer(full),
                  Integer(kDeadlineMs)});
  };
  const std::uint64_t threshold = Number(a[8]);
  if (!IsCurrent(record, a) || record.withdrawn.contains(nonce)) return answer(1);
  if (update != record.updates.end() && update->second.nonce == nonce) return answer(0);
  if (record.leased + record.counted >= threshold) return answer(2);
  if (!joined) return answer(3);
  if (a[5] != a[1]) return answer(4);
  if (a[4] != "1") return answer(5);
  if (update != record.updates.end()) return answer(6);
  record.updates[fl_id] = {false, nonce};
  ++record.leased;
  return answer(0, record.leased + record.counted == 1, record.leased + record.counted >= threshold);
}

RedisValue Commit(CacheRecord& record, Words a) {
  const std::string fl_id(a[2]), nonce(a[3]);
  const auto answer = [&](std::uint64_t verdict, bool last = false) {
    return Array({Integer(verdict), Integer(record.counted), Integer(last)});
  };
  const auto update = record.updates.find(fl_id);
  const bool own = update != record.updates.end() && update->second.nonce == nonce;
  if (own && update->second.counted) return answer(0, record.counted >= Number(a[6]));
  if (!IsCurrent(record, a)) return answer(1);
  if (!own) return answer(2);
  update->second.counted = true;
  --record.leased;
  ++record.counted;
  return answer(0, record.counted == Number(a[6]));
}

RedisValue Withdraw(CacheRecord& record, Words a) {
  if (a[0] != record.instance || a[1] != std::to_string(record.iteration)) return Integer(0);
  const std::string fl_id(a[2]), nonce(a[3]);
  record.withdrawn.insert(nonce);
  auto update = record.updates.find(fl_id);
  if (update != record.updates.end() && !update->second.counted && update->second.nonce == nonce) {
    record.updates.erase(update);
    --record.leased;
    update = record.updates.end();
  }
  const auto device = record.devices.find(fl_id);
  if (device == record.devices.end() || update != record.updates.end()) return Integer(1);
  if (device->second.nonce == nonce) {
    record.devices.erase(device);
    --record.started;
  } else {
    device->second.nonce = "*";
  }
  return Integer(1);
}

RedisValue Open(CacheRecord& record, Words a) {
  if (record.instance.empty()) record.BeginInstance(std::string(a[0]));
  if (a[0] != record.instance) return Array({Integer(1), Text(record.instance)});
  if (record.hyper.empty()) {
    for (std::size_t i = 9; i + 1 < a.size(); i += 2) record.hyper.emplace(a[i], a[i + 1]);
  }
  std::vector<RedisValue> hyper;
  for (const auto& [name, value] : record.hyper) {
    hyper.push_back(Text(name));
    hyper.push_back(Text(value));
  }
  return Status(record, a[0], {Integer(0), Array(std::move(hyper))});
}

RedisValue Advance(CacheRecord& record, Words a) {
  if (a[0] != record.instance || a[1] != std::to_string(record.iteration) || record.state != 0) {
    return Status(record, a[0], {Integer(0)});
  }
  record.BeginIteration(record.iteration + 1);
  if (record.iteration > Number(a[5])) record.state = 2;
  record.valid = a[2] == "1";
  record.reason = a[3];
  if (record.valid && !a[6].empty()) record.digest = a[6];
  return Status(record, a[0], {Integer(1)});
}

RedisValue Observe(CacheRecord& record, Words a) {
  std::vector<RedisValue> contributors;
  if (record.counted > 0 && record.counted >= Number(a[2])) {
    contributors = {Text(record.node_id), Text(record.tcp_address), Integer(record.counted)};
  }
  return Status(record, a[0],
                {Integer(record.started), Integer(record.leased), Integer(record.counted),
                 Integer(kDeadlineMs), Integer(0), RedisValue(), Text(""), Array(std::move(contributors))});
}

RedisValue RegisterNode(CacheRecord& record, Words a) {
  if (a[0] != record.instance) return Array({Integer(0), Text(record.instance)});
  if (record.digest.empty()) record.digest = a[6];
  record.node_id = a[1];
  record.tcp_address = a[2];
  return Array({Integer(1), Integer(++record.epoch), Text(record.digest)});
}

RedisValue ReplaceDigest(CacheRecord& record, Words a) {
  const bool current = a[0] == record.instance && a[1] == std::to_string(record.iteration);
  if (current && record.digest == a[2]) record.digest = a[3];
  return Status(record, a[0]);
}

RedisValue Answer(CacheRecord& record, const std::string& script, Words a) {
  if (script == "join") return Join(record, a);
  if (script == "reserve") return Reserve(record, a);
  if (script == "commit") return Commit(record, a);
  if (script == "withdraw") return Withdraw(record, a);
  if (script == "open") return Open(record, a);
  if (script == "advance") return Advance(record, a);
  if (script == "observe") return Observe(record, a);
  if (script == "expire") return Status(record, a[0], {Integer(0), Integer(kDeadlineMs)});
  if (script == "recreate") return Status(record, a[0]);  // nothing is ever lost here
  if (script == "register_node") return RegisterNode(record, a);
  if (script == "replace_digest") return ReplaceDigest(record, a);
  if (script == "heartbeat") return Array({Integer(1), Integer(record.epoch), Integer(0)});
  if (script == "list_servers") return Array({Integer(1), Array({})});  // no other Server
  if (script == "summarise")
    return Array(
        {Integer(1), Integer(0), Integer(1), Array({Text(std::string(a[2])), Text(std::string(a[3]))})});
  if (script == "mark_recorded") return Integer(1);
  if (script == "agree_on_model") {
    if (record.model_description.empty()) record.model_description = a[0];
    return Text(record.model_description);
  }
  if (script == "push_evaluation") {
    record.evaluations.emplace_front(a[0]);
    while (record.evaluations.size() > Number(a[1])) record.evaluations.pop_back();
    return Integer(record.evaluations.size());
  }
  std::fprintf(stderr, "the cache in memory does not know the script %s\n", script.c_str());
  std::abort();
}

}  // namespace

void CacheRecord::BeginInstance(std::string name) {
  instance = std::move(name);
  state = 0;
  valid = true;
  reason.clear();
  digest.clear();
  evaluations.clear();
  BeginIteration(1);
}

void CacheRecord::BeginIteration(std::uint64_t number) {
  iteration = number;
  devices.clear();
  updates.clear();
  withdrawn.clear();
  started = leased = counted = 0;
}

std::uint64_t UnaskedDataSize(const std::string& fl_id) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char c : fl_id) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return 1 + hash % 65535;
}

CacheRecord& Cache() {
  static auto* const record = new CacheRecord;
  return *record;
}

}  // namespace msfl::fuzz

namespace msfl::cache {

struct RedisClient::Impl {};

RedisClient::RedisClient(net::EventLoops&, RedisOptions) {}
RedisClient::~RedisClient() = default;
Result<void> RedisClient::Connect(std::chrono::milliseconds) { return Result<void>(); }

Task<Result<RedisValue>> RedisClient::Command(std::vector<std::string>) {
  RedisValue nothing;  // no other Server is listed
  nothing.kind = RedisValue::Kind::kArray;
  co_return nothing;
}

Task<Result<RedisValue>> RedisClient::Run(const Script& script, std::span<const std::string_view>,
                                          std::span<const std::string_view> arguments) {
  co_return fuzz::Answer(fuzz::Cache(), script.name(), arguments);
}

void RedisClient::Subscribe(std::string, std::function<void(std::string_view)>, std::function<void()>) {}
bool RedisClient::available() const { return true; }
void RedisClient::Stop() {}

}  // namespace msfl::cache
