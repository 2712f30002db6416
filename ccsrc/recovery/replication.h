// What outlives a Server: copies of what is counted under it, on other Servers. Each update is held by
// `replicas` of them before it is counted; when the owner of a part is gone, its heir takes it over.
//
//   owner                                holder
//   adds the update to its sum
//   "hold this, too" ------------------> fetches the values (a piece), adds them to its copy
//        <-------------------- held ----
//   counts it in the record, answers the device
//
// Faults. A holder dies, stalls or refuses: it is struck from the record before anything else is counted, and
// another one gets a copy of all; with fewer Servers than wanted, updates are held by those that are there.
// The owner dies: the heir knows of everything that is counted, and of what was about to be, which it counts
// (take_over.lua). Owner and holders die: the part is lost, and the iteration fails.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/buffer.h"
#include "cache/job_store.h"
#include "model/layout.h"
#include "net/peer_server.h"
#include "recovery/messages.h"
#include "recovery/part.h"

namespace msfl::recovery {

struct ReplicationOptions {
  std::string fl_name, node_id, tcp_address;  // of this Server
  std::uint64_t replicas = 0;
  std::uint64_t fetch_memory = 1 << 28;  // bytes of updates that are fetched from others at a time
  std::string folder;                    // on disk; empty: none
  bool journal = false;                  // each update is written there before it is counted
};

// Thread-safe.
class Replication {
 public:
  Replication(cache::JobStore& store, std::shared_ptr<BufferPool> pool, ReplicationOptions options);
  ~Replication();

  std::uint64_t replicas() const;
  void SetLayout(std::shared_ptr<const model::Layout> layout);
  // Whether updates have to be held before they are counted.
  bool guards() const;
  // This Server stands in that iteration now, and `own` is its part: nothing of before is needed any more.
  void Enter(Part& own);

  using OwnerNode = std::function<cache::Node()>;  // as it is listed now
  // Its values stay where they are until the end. True when all holders of the part have it, or nothing is
  // counted in the part any more, which the count will find as well; false when `stop` says so. On the
  // caller's loop.
  Task<bool> Hold(std::shared_ptr<Part> part, Update update, OwnerNode owner, std::function<bool()> stop);
  // Sees to it that `wanted` Servers hold the part, or all that there are. Answers how many do.
  Task<Result<std::size_t>> Arrange(std::shared_ptr<Part> part, OwnerNode owner, std::size_t wanted,
                                    std::function<bool()> stop);

  // What processes that are gone have left in the folder. Blocks. Answers the parts.
  std::vector<PartKey> Recover();
  // One of those: it is to be taken over next.
  Task<Result<bool>> Claim(PartKey key, cache::Node node);
  // No other Server can hold the part, which nobody adds to: it stays in the folder when this process ends.
  // False if there is none, or it can't be written.
  Task<bool> KeepOnDisk(std::shared_ptr<Part> part, OwnerNode owner, std::function<bool()> stop);

  // Others have all that this Server has on its disk.
  void ForgetDisk();

  // This Server is the heir. The part if it is its owner now; null if it isn't, or the part is lost.
  Task<Result<std::shared_ptr<Part>>> TakeOver(PartKey key, cache::Node heir);

  // What other Servers ask of this one.
  bool Answers(std::span<const std::uint8_t> head) const;
  Task<net::PeerAnswer> Answer(std::span<const std::uint8_t> head);

  struct Statistics {
    std::uint64_t held_parts = 0;  // of others, now
    std::uint64_t copies = 0, taken_over = 0,
                  dropped = 0;  // ever: parts given, parts taken, holders that failed
  };
  Statistics statistics() const;

  // Ends what is under way soon.
  void Cancel();
  // Called from a thread that is not a loop, after Cancel().
  void WaitForNone();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace msfl::recovery
