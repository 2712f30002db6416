// The link to Redis: on each event loop one multiplexed connection, pipelined across requests. Asio carries
// the bytes, hiredis reads and writes the protocol.
//
// Faults. A command that was sent and lost its answer may have run. Therefore only idempotent commands are
// sent here (every script of ours is), and on a broken connection they are sent again after reconnecting,
// until their deadline. A command whose answer is late breaks the connection, since answers come in order.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "net/event_loops.h"

namespace msfl::cache {

struct RedisPlace {
  RedisPlace() = default;
  RedisPlace(std::string at, std::uint16_t listening) : host(std::move(at)), port(listening) {}
  friend bool operator==(const RedisPlace&, const RedisPlace&) = default;

  std::string host;
  std::uint16_t port = 6379;
};

// Where Redis is: `ip:port`, `host:port`, `[v6]:port`, `redis://[user[:password]@]host[:port][/database]`,
// `unix:/path`. Several, separated by commas, are nodes of one Redis Cluster. Sentinels, as Python writes
// them (mindspore_federated/config/cache_address.py):
// `sentinel://[user[:password]@]host[:port],.../[database]?master=name[&user=name][&password=word]`, user and
// password in front are those of Redis.
struct RedisAddress {
  std::string host;  // empty with a socket path
  std::uint16_t port = 6379;
  std::vector<RedisPlace> others;  // further nodes of a Cluster, or sentinels
  std::string socket_path;
  std::string user, password;  // never logged
  int database = 0;
  std::string master;  // its name; if there is one, host, port and others are sentinels
  std::string sentinel_user, sentinel_password;

  // Errc::kInvalidArgument with a text that holds no password.
  static Result<RedisAddress> Parse(const std::string& text);
  std::string ForDisplay() const;  // without user and password
};

struct RedisOptions {
  RedisAddress address;
  std::chrono::milliseconds connect_timeout{1000};
  std::chrono::milliseconds command_timeout{2000};
  std::chrono::milliseconds reconnect_pause{200};
  std::size_t max_pending = 100'000;  // commands of one loop; beyond it a command is refused as unavailable
};

// One reply, copied out of the protocol reader.
struct RedisValue {
  enum class Kind { kNil, kInteger, kText, kArray };
  Kind kind = Kind::kNil;
  std::int64_t integer = 0;
  std::string text;
  std::vector<RedisValue> array;
};

// A Lua script, called by its hash; its source is sent when Redis does not know it (after a restart, say).
class Script {
 public:
  Script(std::string name, std::string source);
  const std::string& name() const { return name_; }
  const std::string& source() const { return source_; }
  const std::string& sha1() const { return sha1_; }

 private:
  std::string name_, source_, sha1_;
};

class RedisClient {
 public:
  RedisClient(net::EventLoops& loops, RedisOptions options);
  ~RedisClient();

  // Opens the connections of all loops. Blocks the calling thread, which is not a loop. A refused connection
  // is tried again once a second until `patience` is over; any other fault (wrong password, a TLS port, not
  // Redis) ends at once.
  Result<void> Connect(std::chrono::milliseconds patience);

  // To be awaited on a loop. Errors: kCacheUnavailable (no answer before the deadline), kCacheRefused (the
  // error that Redis answered). A loop whose link is known to be down refuses at once.
  Task<Result<RedisValue>> Command(std::vector<std::string> words);
  Task<Result<RedisValue>> Run(const Script& script, std::span<const std::string_view> keys,
                               std::span<const std::string_view> arguments);

  // Calls `on_message(payload)` on the control loop for everything published on `channel`, and `on_gap()`
  // when messages may have been missed (after each (re)connection). Its own connection; lives until Stop().
  void Subscribe(std::string channel, std::function<void(std::string_view)> on_message,
                 std::function<void()> on_gap);

  // True while every loop's link is up.
  bool available() const;
  // Ends everything pending as unavailable and closes. On any thread but a loop.
  void Stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace msfl::cache
