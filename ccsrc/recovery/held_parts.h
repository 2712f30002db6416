// The parts of other Servers that this one holds, too: the holder's side.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/task.h"
#include "base/wait_list.h"
#include "model/layout.h"
#include "net/live_count.h"
#include "net/peer_server.h"
#include "recovery/messages.h"
#include "recovery/part.h"
#include "recovery/peers.h"

namespace msfl::recovery {

// Thread-safe.
class HeldParts {
 public:
  // Updates that are fetched at a time take `memory` bytes at most, or are one.
  HeldParts(std::shared_ptr<Peers> peers, std::shared_ptr<BufferPool> pool, std::uint64_t memory)
      : peers_(std::move(peers)), pool_(std::move(pool)), memory_(memory) {}

  void SetLayout(std::shared_ptr<const model::Layout> layout);
  // Nothing of before it is needed any more.
  void Enter(const std::string& instance, std::uint64_t iteration);

  // `request` asks a HoldQuestion, a CopyQuestion. Each is fetched by a coroutine of its own, which whoever
  // asks again joins.
  static Task<net::PeerAnswer> AnswerHold(std::shared_ptr<HeldParts> self,
                                          const schema::PeerRequest& request);
  static Task<net::PeerAnswer> AnswerCopy(std::shared_ptr<HeldParts> self,
                                          const schema::PeerRequest& request);

  // The same from a journal: a request as it was written, with what was its piece. What is wrong with it, or
  // nothing. Blocks.
  std::string Replay(std::span<const std::uint8_t> head, std::span<const std::uint8_t> payload);
  std::vector<PartKey> Keys() const;

  // To take a part over: from here on nothing is added to it. Null if it is not held.
  struct Taken {
    std::shared_ptr<Part> part;  // null: something is still being added to it
    std::vector<cache::HeldUpdate> unsettled;
  };
  static Task<std::optional<Taken>> Take(std::shared_ptr<HeldParts> self, PartKey key);
  // It stays its owner's after all, or is of no use.
  void GiveBack(const PartKey& key);
  void Forget(const PartKey& key);

  // Parts that are held now.
  std::size_t count() const;
  // Called from a thread that is not a loop, after Peers::Cancel().
  void WaitForNone();

 private:
  struct Mirror {
    explicit Mirror(std::shared_ptr<Part> the_part) : part(std::move(the_part)) {}
    const std::shared_ptr<Part> part;
    std::string giver;                                     // node id of who has given the copy
    std::uint64_t copy = 0;                                // which one
    std::map<std::uint64_t, cache::HeldUpdate> unsettled;  // by sequence
    std::size_t adding = 0;
    bool taken = false, broken = false;
  };
  // What is being fetched.
  struct Fetch {
    std::uint64_t progress = 1;
    bool done = false;
    std::string fault;
  };
  using FetchKey = std::pair<PartKey, std::string>;  // and the name of the piece

  std::shared_ptr<Fetch> Join(const FetchKey& key);  // mutex_ held; a new one if there is none
  static Task<net::PeerAnswer> Await(std::shared_ptr<HeldParts> self, std::shared_ptr<Fetch> fetch,
                                     std::uint32_t wait_ms);
  // Both end their fetch.
  struct HoldMessage;
  struct CopyMessage;
  static Task<> FetchUpdate(std::shared_ptr<HeldParts> self, std::shared_ptr<Mirror> mirror,
                            std::shared_ptr<Fetch> fetch, std::shared_ptr<const HoldMessage> update,
                            net::LiveHold live);
  static Task<> FetchCopy(std::shared_ptr<HeldParts> self, std::shared_ptr<Fetch> fetch,
                          std::shared_ptr<const CopyMessage> copy, net::LiveHold live);
  static Task<std::string> Add(std::shared_ptr<HeldParts> self, std::shared_ptr<Mirror> mirror,
                               std::shared_ptr<const HoldMessage> update,
                               std::span<const std::uint8_t> bytes);
  static Task<> AwaitRoom(std::shared_ptr<HeldParts> self, std::shared_ptr<Fetch> fetch, std::uint64_t bytes);
  void LeaveRoom(std::uint64_t bytes);
  std::optional<std::string> FaultOfCopy(const Mirror& there, const CopyMessage& copy) const;  // mutex_ held
  Peers::Question Piece(const std::string& node_id, const std::string& address, const std::string& name,
                        std::span<std::uint8_t> into, std::shared_ptr<Fetch> fetch);
  void End(const FetchKey& key, Fetch& fetch, std::string fault);

  const std::shared_ptr<Peers> peers_;
  const std::shared_ptr<BufferPool> pool_;
  const std::uint64_t memory_;
  const std::shared_ptr<net::LiveCount> live_ = std::make_shared<net::LiveCount>();
  mutable std::mutex mutex_;  // guards what follows, and what mirrors and fetches hold
  WaitList waiters_;
  std::shared_ptr<const model::Layout> layout_;
  cache::IterationKey entered_;
  std::map<PartKey, std::shared_ptr<Mirror>> mirrors_;
  std::map<FetchKey, std::shared_ptr<Fetch>> fetches_;
  std::uint64_t fetching_bytes_ = 0;
};

}  // namespace msfl::recovery
