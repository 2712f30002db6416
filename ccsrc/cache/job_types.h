// What is asked of a job's record, and what it answers; see job_store.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace msfl::cache {

enum class InstanceState { kRunning = 0, kDisable = 1, kFinish = 2, kStop = 3 };

struct IterationKey {
  std::string instance;
  std::uint64_t number = 0;
  bool operator==(const IterationKey&) const = default;
};

struct Status {
  IterationKey current;
  InstanceState state = InstanceState::kRunning;
  bool last_valid = true;
  std::string last_reason;
  std::string digest;  // of the model that the current iteration starts from; empty: nobody has published one
};

// A node that owns updates of an iteration.
struct Contributor {
  std::string node_id, tcp_address;
  std::uint64_t counted = 0;
};

// What is counted under one Server in an iteration is a part, named by that Server. It has an owner, at first
// that Server, and holders, which have all of it, too. One whose owner is gone goes to its heir, the first
// holder that is in the cluster.
struct Orphan {
  std::string part, heir;  // node ids
};

// What the state machine looks at; taken in one script.
struct Snapshot {
  bool known = false;  // false: the record is gone (Redis restarted empty); nothing below is set
  Status status;
  std::uint64_t started = 0, leased = 0, counted = 0;
  // Nearest deadline of the current iteration; negative when it has passed.
  std::optional<std::int64_t> deadline_in_ms;
  // The owner of a part has left or was removed by somebody's Heartbeat, and nobody holds it.
  bool contributor_lost = false;
  // A window has ended with enough: the number of updates that the iteration waits for instead of the
  // threshold, and the window's name.
  std::optional<std::uint64_t> target;
  std::string timed_out;
  // By node id; only when every update that is waited for is counted and no part is an orphan.
  std::vector<Contributor> contributors;
  std::vector<Orphan> orphans;
};

// A Server in the cluster; the epoch is of its latest registration.
struct Node {
  std::string id, tcp_address;
  std::string http_address;  // `http://host:port/<prefix>/`; empty if unknown
  std::uint64_t epoch = 0;
  bool leaving = false;  // an operator has asked it to leave, as its heartbeat has heard
};

struct HeartbeatAnswer {
  Node node;
  std::optional<std::string> other_settings;  // that the cluster has: nothing was done
  std::vector<std::string> servers;           // ids of those that are listed now
};

struct Registered {
  std::optional<std::string> other_settings;  // of the living Servers: it was not entered
  Node node;
  std::string digest;  // the one that holds, see Status; empty also when the record is gone
};

// What Servers have to say about an iteration that has ended, until one of them has written it down.
struct Summaries {
  bool writer = false;                       // the node that asks is the one to write
  bool recorded = false;                     // it is written
  bool complete = false;                     // every Server of the cluster has given its text
  std::map<std::string, std::string> texts;  // by node id
};

struct Windows {  // all in milliseconds
  std::uint64_t start_fl_job = 0, update_model = 0, global_iteration = 0;
};

struct Thresholds {
  std::uint64_t start_fl_job = 0, update_model = 0;
  // Updates with which an iteration goes on when a window is over; 0: it fails, whatever has come.
  std::uint64_t minimum = 0;
};

// The iteration asked about is not the current one (any more), or the instance is not running: look again.
// Every verdict enum below has it.

enum class JoinVerdict { kAccepted, kMoved, kThresholdReached, kContentRefused, kAlreadyJoined };
struct JoinRequest {
  IterationKey iteration;
  std::string_view fl_id;
  std::uint64_t data_size = 0, eval_data_size = 0;
  std::string_view nonce;        // of this request: the same nonce again is the same request again
  bool content_accepted = true;  // the verdict on the request's content, consulted after the threshold
};
struct JoinAnswer {
  JoinVerdict verdict = JoinVerdict::kMoved;
  std::uint64_t started = 0;  // count after this request
  bool first = false, last = false;
  std::optional<std::int64_t> deadline_in_ms;
};

enum class ReserveVerdict {
  kReserved,
  kMoved,
  kThresholdReached,
  kNotJoined,
  kWrongIteration,
  kContentRefused,
  kAlreadyUpdated
};
struct ReserveRequest {
  IterationKey iteration;              // the current one, as this Server knows it
  std::int64_t claimed_iteration = 0;  // the one the device names
  std::string_view fl_id;
  std::string_view nonce;
  bool content_accepted = true;
};
struct ReserveAnswer {
  ReserveVerdict verdict = ReserveVerdict::kMoved;
  std::uint64_t data_size = 0, eval_data_size = 0;  // as given at startFLJob
  std::int64_t joined_ms = 0;                       // Redis' clock
  std::int64_t now_ms = 0;
  std::uint64_t taken = 0;  // leased + counted after this request
  bool first = false, full = false;
  std::optional<std::int64_t> deadline_in_ms;
};

// What stands of a device's update in some iteration.
struct FoundUpdate {
  enum class State { kNone, kLeased, kCounted };
  State state = State::kNone;
  std::string digest;  // of a counted one, as its Server gave it
};

enum class CommitVerdict { kCounted, kMoved, kFenced };
struct CommitAnswer {
  CommitVerdict verdict = CommitVerdict::kMoved;
  std::uint64_t counted = 0;
  bool last = false;  // the threshold or the target is reached: time to aggregate
};

// kNotListed: a holder, or the owner under that epoch, is not in the cluster. kFenced: the part is no longer
// the caller's.
enum class SetHoldersVerdict { kDone, kMoved, kFenced, kNotListed };

// kNoHeir: what was counted is nowhere else.
enum class YieldVerdict { kYielded, kMoved, kNoHeir };

// What a part holds of one device's update.
struct HeldUpdate {
  std::string fl_id, nonce, digest;
};
// kNotHeir: the owner is there, or another holder comes first. kIncomplete: the holder has something else
// than what is counted.
enum class TakeOverVerdict { kTaken, kMoved, kNotHeir, kIncomplete };
struct TakeOverAnswer {
  TakeOverVerdict verdict = TakeOverVerdict::kMoved;
  std::uint64_t counted = 0;  // of the part
};

enum class AdvanceVerdict { kMovedByUs, kMoved };  // kMoved: somebody else moved it before
struct AdvanceAnswer {
  AdvanceVerdict verdict = AdvanceVerdict::kMoved;
  Status status;  // after the call
};

struct ExpireAnswer {
  // A deadline has passed; the iteration was moved on by this call, with the spec's reason.
  bool expired = false;
  Status status;  // after the call
  std::optional<std::int64_t> deadline_in_ms;
};

// A line on the channel `events`: "<kind> <instance> <iteration>"; the iteration is the current one after
// what happened, with kSummary and kRecorded the one that had ended. kStartFull: or its window ended with
// enough. kStartOpen: a full startFLJob has a place again, since one was withdrawn. kDeadline: a deadline was
// set, also when a full updateModel opens again since leases were given back. kSummary: a node has given its
// text. kLeave: nodes were asked to leave. kOther: anything else worth a look, such as nodes that are gone.
struct JobEvent {
  enum class Kind {
    kStartFull,
    kStartOpen,
    kUpdateFull,
    kCountedFull,
    kMoved,
    kState,
    kDeadline,
    kInstance,
    kSummary,
    kRecorded,
    kLeave,
    kOther
  };
  Kind kind = Kind::kOther;
  IterationKey iteration;
};

}  // namespace msfl::cache
