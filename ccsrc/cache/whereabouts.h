// Where the Redis of a job is now: asked of sentinels, or named by the nodes of a Redis Cluster. Free of I/O;
// whoever connects tells how it went and does what Next() says.
//
//   start addresses, one after the other -> up
//   sentinels, one after the other -> the master they name -> up; lost, or no master any more: sentinels
//   Redis Cluster: start addresses -> up -> MOVED: the named node -> up; unreachable: start addresses
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cache/redis_client.h"

namespace msfl::cache {

// What is expected to listen at an address.
enum class PlaceKind {
  kRedis,        // a Redis, whatever it is
  kClusterNode,  // one of a Redis Cluster: several start addresses of anything else would be several truths
  kSentinel,
  kMaster,  // as sentinels name it, which may be out of date
};

struct Target {
  RedisAddress address;  // of one place
  PlaceKind kind = PlaceKind::kRedis;
  std::string master;  // what a sentinel is asked for
};

class Whereabouts {
 public:
  static constexpr int kMostHops = 5;  // from node to node without an answer

  explicit Whereabouts(RedisAddress start) : start_(std::move(start)) {}

  Target Next() const;
  // The sentinel of Next() has named the master.
  void Named(RedisPlace place) { named_ = std::move(place); }
  // Next() can't be used. Before the round is over the next start address is worth a try at once.
  struct Failure {
    bool round_over = true;
    bool not_yet = false;  // waiting may help
  };
  Failure Failed(bool not_yet);
  // A connection to Next() has broken, or what is there is no master any more.
  void Lost();
  // The node at Next() has sent us on. False after too many hops: start again, not at once.
  bool Moved(const RedisPlace& place);
  void Settled() { hops_ = 0; }  // an answer came

 private:
  RedisPlace Completed(const RedisPlace& place) const;

  const RedisAddress start_;
  std::size_t place_ = 0;   // of the start addresses
  std::size_t failed_ = 0;  // of them in this round
  bool hopeless_ = true;    // so far in this round: none may come up by waiting
  std::optional<RedisPlace> named_;
  int hops_ = 0;
};

// `MOVED <slot> <host>:<port>` and `ASK <slot> <host>:<port>`. An empty host is that of the node that says
// so.
struct Redirection {
  bool for_good = true;  // MOVED
  RedisPlace place;
};
std::optional<Redirection> ParseRedirection(std::string_view error);

// `address` with another place in it, and nothing of the start addresses.
RedisAddress AddressOf(const RedisAddress& address, const RedisPlace& place);

}  // namespace msfl::cache
