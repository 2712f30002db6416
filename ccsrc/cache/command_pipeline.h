// Commands on their way to Redis and their replies, matched in order. Free of I/O and of clocks: takes bytes
// and times, gives bytes and completions. Belongs to one event loop.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "cache/redis_client.h"
#include "cache/reply_reader.h"
#include "cache/whereabouts.h"

namespace msfl::cache {

// A command that waits for its reply. Its words belong to the caller, who stays suspended until it completes,
// so they can be written again after the connection broke.
class PendingCommand {
 public:
  virtual void Complete(Result<RedisValue> result) = 0;  // ends the object's life
  virtual void Abandon() = 0;                            // the same without calling anybody

  const Script* script = nullptr;  // nullptr: `keys` and `arguments` are the whole command
  std::span<const std::string_view> keys, arguments;
  SteadyClock::time_point deadline;

 protected:
  virtual ~PendingCommand() = default;

 private:
  friend class CommandPipeline;
  friend class CommandQueue;
  enum class Form : std::uint8_t { kByHash, kBySource, kLoad, kAsking };
  Form form = Form::kByHash;
  std::uint8_t unknown_to_redis = 0;  // times that the script's hash was not known, on this connection
  PendingCommand* next = nullptr;
};

class CommandQueue {
 public:
  CommandQueue() = default;
  CommandQueue(CommandQueue&& other) noexcept;
  CommandQueue& operator=(CommandQueue&&) = delete;
  ~CommandQueue();  // abandons what is left

  void Push(PendingCommand* command);
  void PushFront(PendingCommand* command);
  PendingCommand* Pop();  // nullptr when empty
  PendingCommand* front() const { return head_; }
  std::size_t size() const { return size_; }
  bool empty() const { return head_ == nullptr; }
  void CompleteAll(const Error& error);

 private:
  PendingCommand* head_ = nullptr;
  PendingCommand* tail_ = nullptr;
  std::size_t size_ = 0;
};

// Bytes to be written; grows without being zeroed.
class OutputBuffer {
 public:
  const char* data() const { return bytes_.get(); }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void Clear();
  void AppendCommand(const PendingCommand& command, std::string_view name, std::string_view first);
  void AppendWords(std::span<const std::string_view> words);

 private:
  char* Reserve(std::size_t size);
  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0, capacity_ = 0;
};

// What is done about answers that say "not here".
struct Following {
  bool moved = false;     // MOVED breaks the connection, see redirection()
  bool readonly = false;  // and so does READONLY, as the master is elsewhere
  bool asking = false;    // commands are here only because another node has said ASK
  std::function<void(RedisPlace, PendingCommand*)> ask;  // takes the command over, if `moved`
};

class CommandPipeline {
 public:
  explicit CommandPipeline(Following following = {}) : following_(std::move(following)) {}
  // Takes the command over. Without a connection it waits for the next one.
  void Push(PendingCommand* command);
  // A fresh connection: everything that waits is written again.
  void Connected();
  // The connection is lost; what waits goes on waiting.
  void Disconnected();
  // Matches the bytes with commands and completes them. False: these bytes are no replies of ours, see
  // fault().
  bool Receive(const char* bytes, std::size_t size);
  const std::string& fault() const { return fault_; }
  // After a failed Receive(): where this node has sent us on. The command waits for that connection.
  std::optional<RedisPlace> TakeRedirection() { return std::exchange(moved_to_, std::nullopt); }

  // True if a command's time is over.
  bool Late(SteadyClock::time_point now) const {
    return !waiting_.empty() && waiting_.front()->deadline <= now;
  }
  // Precondition: not connected, since a reply without its command would match the next.
  void CompleteLate(SteadyClock::time_point now, const Error& error);
  void CompleteAll(const Error& error);

  OutputBuffer& output() { return output_; }
  std::size_t size() const { return waiting_.size(); }

 private:
  void Write(const PendingCommand& command);
  // False when it has to be given elsewhere, with all that wait.
  bool Answer(PendingCommand* command, Reply reply);
  bool Elsewhere(PendingCommand* command, const std::string& error);
  void SendAgain(PendingCommand* command);

  const Following following_;
  CommandQueue waiting_;
  OutputBuffer output_;
  std::unique_ptr<ReplyReader> reader_;  // of the present connection
  std::vector<const Script*> loading_;
  std::string fault_;
  std::optional<RedisPlace> moved_to_;
};

// Of an error that Redis answered: is Redis away for the moment, or has it refused the command?
Errc ClassifyRedisError(std::string_view text);

}  // namespace msfl::cache
