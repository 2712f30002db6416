// What the Servers of a job give each other: their parts of a sum, the averages made of them, whole models.
// Nobody pushes: a Server asks a peer, and the peer answers once it has what was asked for.
//
//   each member:  asks all others for their sums of its own segment, adds, divides   (reduce-scatter)
//                 asks all others for the averages of theirs                         (all-gather)
//
// Segments are equal parts of the flat range of aggregated elements, one for each member in the order of node
// ids; parts are added in that order too, so that all members end with the same bytes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/error.h"
#include "base/task.h"
#include "collective/exchange_statistics.h"
#include "model/model.h"
#include "model/running_sum.h"
#include "net/peer_server.h"
#include "net/peer_socket.h"

namespace msfl::collective {

struct Member {
  std::string node_id;
  std::string tcp_address;  // ip:port, [v6]:port or name:port
  std::uint64_t uploads = 0;
};

struct CombineRequest {
  CombineRequest() = default;  // no aggregate: those may not be built in the call of a coroutine

  std::string instance;
  std::uint64_t iteration = 0;
  std::vector<Member> members;  // sorted by node id; this Server is one of them
  std::shared_ptr<model::RunningSum> sum;
  // What features that nobody sent, and those that are not aggregated, keep.
  std::shared_ptr<const model::Model> start_model;
  // Asked every few milliseconds, on the caller's loop: true ends the combination with Errc::kStopping.
  std::function<bool()> stop;
  // A member is given up when it has not moved on for so long, or is so far behind net::kPeerMinimumRate. The
  // whole may take three times that, and what all bytes take at 1 MB/s.
  std::chrono::milliseconds patience{10'000};
};

struct Combined {
  std::shared_ptr<model::Model> model;
  std::string digest;  // model::Digest of it
};

struct FetchRequest {
  FetchRequest() = default;

  std::string tcp_address, node_id;  // of the peer
  std::string digest;                // model::Digest of the model
  std::shared_ptr<const model::Layout> layout;
  // Asked every few milliseconds, on the caller's loop: true ends it with Errc::kStopping.
  std::function<bool()> stop;
  std::chrono::milliseconds patience{10'000};
};

using ModelSource = std::function<std::shared_ptr<const model::Model>(std::string_view digest)>;

// Thread-safe. It has to be gone before the loops whose coroutines wait in it are.
class Exchange {
 public:
  // Models come from `pool`.
  Exchange(std::string fl_name, std::string node_id, std::shared_ptr<BufferPool> pool);
  ~Exchange();

  // Seals the sum, and combines it with those of the other members. A failure names the member that it comes
  // from; what can be repaired by asking again was tried for as long as patience lasts. It may be called
  // again then, with other members too. A combination replaces the one before. Runs on the caller's loop.
  // - kDisagreement: the sum holds another number of uploads than the members' list says, or a peer's does
  // - kNotFinite: an average is NaN or infinite; all members are told so
  // - kPeerUnavailable: a member can't be reached, does not move on, or is too slow
  // - kPeerRefused: a member has left the iteration, belongs to another job, combines the sums of other
  //   members, or has failed itself
  // - kStopping: `stop`, Cancel() or Leave()
  // - kInvalidArgument, kOutOfMemory
  Task<Result<Combined>> Combine(CombineRequest request);

  // This Server stands beyond that iteration now, and those before it: whoever waits for its sum or asks for
  // it later is told so. Averages of the newest combination stay there until the next one begins, for members
  // that are slower.
  void Leave(std::string_view instance, std::uint64_t iteration);

  // The cluster stands in an earlier iteration again, since the cache came back with older data: that one and
  // those after it are open once more.
  void GoBack(std::string_view instance, std::uint64_t iteration);

  // Where models that peers ask for are found; called on any loop.
  void SetModelSource(ModelSource source);

  // A model of one peer, complete, its digest checked. Runs on the caller's loop.
  // - kModelUnknown: the peer does not hold it
  // - kPeerUnavailable: the peer can't be reached, does not move on, or is too slow
  // - kPeerRefused: it belongs to another job, or is another node
  // - kDisagreement: what came is not what was asked for
  // - kStopping: `stop`, Cancel()
  // - kInvalidArgument, kOutOfMemory
  Task<Result<std::shared_ptr<model::Model>>> FetchModel(FetchRequest request);

  // Ends all that is under way soon, and refuses everything from now on. To be called before
  // net::PeerServer::Stop, which waits for answers under way.
  void Cancel();

  // What net::PeerServer answers with. It may outlive this object.
  net::PeerHandler Handler();

  const ExchangeStatistics& statistics() const;
  // Of what this Server has asked for.
  const net::PeerTraffic& traffic() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace msfl::collective
