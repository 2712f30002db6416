// What a Server keeps of its part on its own disk: each update before it is counted, so that one Server alone
// can be killed without a loss; or, when the last Server of a job stops, its sum.
//
// A file is the magic and records, each: kind (4 bytes), length of the head (4), length of the payload (8),
// XXH3 of both (8), head, payload; little-endian. A head is a PeerRequest (schema/peer.fbs): a CopyQuestion
// begins a part, each HoldQuestion adds an update to it; the payload is the piece that it tells of. A file
// belongs to the process that has a lock on it; without one its process is gone, and whoever starts next
// beside it takes it up.
//
// Faults. The process dies at any instant: what was written is read up to the first record that is not whole,
// whose update was not acknowledged. The disk is full or fails: Append says so, and nothing more is written
// until the next iteration.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "base/wait_list.h"
#include "collective/messages.h"
#include "net/stream.h"

namespace msfl::recovery {

// Thread-safe.
class Journal {
 public:
  // Files are `<folder>/<fl_name>_updates_<16 hex digits>.journal`.
  Journal(std::string folder, std::string fl_name);
  // Leaves its file behind if there is an update in it, unless Forget() was called.
  ~Journal();

  // `request`: a complete frame. True when it is on the disk.
  using Payload = net::GatherBuffers;
  Task<bool> Append(collective::Bytes request, Payload payload);
  // What is in it is needed no more: a new iteration begins, with the record of `begin`, which is written
  // with the first one that follows. Waits for nothing.
  void Restart(collective::Bytes begin);
  // Others have what is in it.
  void Forget();

  // A file that a process has left behind, locked by this one.
  class Found {
   public:
    Found(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
    Found(Found&& other) noexcept;
    Found(const Found&) = delete;
    Found& operator=(const Found&) = delete;
    ~Found();
    // Calls `record` for each whole record. What is wrong with the file, or nothing. Blocks.
    using OnRecord =
        std::function<void(std::span<const std::uint8_t> head, std::span<const std::uint8_t> payload)>;
    std::string Read(std::uint64_t largest_payload, const OnRecord& record) const;
    // Nobody needs it any more.
    void Remove() const;
    const std::string& path() const { return path_; }

   private:
    std::string path_;
    int descriptor_;
  };
  static std::vector<Found> Find(const std::string& folder, const std::string& fl_name);

 private:
  struct Record {
    collective::Bytes request;
    Payload payload;
    bool restart = false;
    std::uint64_t number = 0;
  };
  void Run();
  std::uint64_t Enqueue(Record record);  // mutex_ held
  std::string WriteAll(std::deque<Record>& records);
  std::string WriteOne(const Record& record);
  std::string Open();

  const std::string folder_, fl_name_;
  std::mutex mutex_;
  std::condition_variable wake_;
  WaitList waiters_;
  std::deque<Record> queue_;
  std::uint64_t next_ = 1, done_ = 0;
  std::vector<std::uint64_t> failed_;  // not fetched yet
  bool stop_ = false, forget_ = false;
  // The writing thread's:
  std::string path_, fault_;  // fault_: until the next Restart
  collective::Bytes begin_;   // empty: written
  int descriptor_ = -1;
  std::uint64_t size_ = 0;    // of what is whole
  bool has_updates_ = false;  // since the last Restart
  std::thread thread_;
};

}  // namespace msfl::recovery
