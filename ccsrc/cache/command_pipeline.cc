#include "cache/command_pipeline.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace msfl::cache {
namespace {

constexpr std::size_t kHeadRoom = 24;                        // '$' or '*', twenty digits, end of line
constexpr std::size_t kKeptCapacity = std::size_t{1} << 20;  // a larger buffer is given back when it is empty

char* PutHead(char* at, char kind, std::size_t number) {
  *at++ = kind;
  at = std::to_chars(at, at + 20, number).ptr;
  *at++ = '\r';
  *at++ = '\n';
  return at;
}

char* PutWord(char* at, std::string_view word) {
  at = PutHead(at, '$', word.size());
  if (!word.empty()) std::memcpy(at, word.data(), word.size());
  at += word.size();
  *at++ = '\r';
  *at++ = '\n';
  return at;
}

std::size_t Room(std::span<const std::string_view> words) {
  std::size_t room = 0;
  for (const auto word : words) room += word.size() + kHeadRoom;
  return room;
}

// SCRIPT LOAD or ASKING: nobody waits for the answer.
class OwnCommand final : public PendingCommand {
 public:
  void Complete(Result<RedisValue>) override { delete this; }
  void Abandon() override { delete this; }
};

// Whether `text` has one of these errors. Redis 6.2 wraps what a command inside a script answered:
// "ERR Error running script (...): -READONLY ...".
bool IsOneOf(std::string_view text, std::span<const std::string_view> errors) {
  const bool wrapped = text.starts_with("ERR Error running script");
  for (const std::string_view error : errors) {
    if (text.starts_with(error)) return true;
    if (wrapped && text.find("-" + std::string(error)) != std::string_view::npos) return true;
  }
  return false;
}

bool IsReadonly(std::string_view text) {
  constexpr std::string_view kErrors[] = {"READONLY "};
  return IsOneOf(text, kErrors);
}

}  // namespace

CommandQueue::CommandQueue(CommandQueue&& other) noexcept
    : head_(std::exchange(other.head_, nullptr)),
      tail_(std::exchange(other.tail_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

CommandQueue::~CommandQueue() {
  while (PendingCommand* command = Pop()) command->Abandon();
}

void CommandQueue::Push(PendingCommand* command) {
  command->next = nullptr;
  (tail_ == nullptr ? head_ : tail_->next) = command;
  tail_ = command;
  ++size_;
}

void CommandQueue::PushFront(PendingCommand* command) {
  command->next = head_;
  head_ = command;
  if (tail_ == nullptr) tail_ = command;
  ++size_;
}

PendingCommand* CommandQueue::Pop() {
  PendingCommand* command = head_;
  if (command == nullptr) return nullptr;
  head_ = command->next;
  if (head_ == nullptr) tail_ = nullptr;
  --size_;
  return command;
}

void CommandQueue::CompleteAll(const Error& error) {
  while (PendingCommand* command = Pop()) command->Complete(error);
}

char* OutputBuffer::Reserve(std::size_t size) {
  if (size_ + size > capacity_) {
    capacity_ = std::max({capacity_ * 2, size_ + size, std::size_t{16384}});
    auto grown = std::make_unique_for_overwrite<char[]>(capacity_);
    if (size_ > 0) std::memcpy(grown.get(), bytes_.get(), size_);
    bytes_ = std::move(grown);
  }
  return bytes_.get() + size_;
}

void OutputBuffer::Clear() {
  size_ = 0;
  if (capacity_ > kKeptCapacity) {
    bytes_.reset();
    capacity_ = 0;
  }
}

void OutputBuffer::AppendCommand(const PendingCommand& command, std::string_view name,
                                 std::string_view first) {
  char* at =
      Reserve(4 * kHeadRoom + name.size() + first.size() + Room(command.keys) + Room(command.arguments));
  at = PutHead(at, '*', 3 + command.keys.size() + command.arguments.size());
  at = PutWord(at, name);
  at = PutWord(at, first);
  char digits[20];
  const char* end = std::to_chars(digits, digits + sizeof digits, command.keys.size()).ptr;
  at = PutWord(at, std::string_view(digits, static_cast<std::size_t>(end - digits)));
  for (const auto word : command.keys) at = PutWord(at, word);
  for (const auto word : command.arguments) at = PutWord(at, word);
  size_ = static_cast<std::size_t>(at - bytes_.get());
}

void OutputBuffer::AppendWords(std::span<const std::string_view> words) {
  char* at = PutHead(Reserve(kHeadRoom + Room(words)), '*', words.size());
  for (const auto word : words) at = PutWord(at, word);
  size_ = static_cast<std::size_t>(at - bytes_.get());
}

void CommandPipeline::Push(PendingCommand* command) {
  if (following_.asking && reader_ && command->form != PendingCommand::Form::kLoad) {
    auto* asking = new OwnCommand;
    asking->deadline = command->deadline;
    asking->form = PendingCommand::Form::kAsking;
    waiting_.Push(asking);
    Write(*asking);
  }
  waiting_.Push(command);
  if (reader_) Write(*command);
}

void CommandPipeline::Write(const PendingCommand& command) {
  if (command.form == PendingCommand::Form::kAsking) {
    const std::string_view words[] = {"ASKING"};
    output_.AppendWords(words);
  } else if (command.script == nullptr) {
    output_.AppendWords(command.arguments);
  } else if (command.form == PendingCommand::Form::kByHash) {
    output_.AppendCommand(command, "EVALSHA", command.script->sha1());
  } else if (command.form == PendingCommand::Form::kBySource) {
    output_.AppendCommand(command, "EVAL", command.script->source());
  } else {
    const std::string_view words[] = {"SCRIPT", "LOAD", command.script->source()};
    output_.AppendWords(words);
  }
}

void CommandPipeline::Connected() {
  reader_ = std::make_unique<ReplyReader>();
  fault_.clear();
  for (std::size_t left = waiting_.size(); left > 0; --left) {
    PendingCommand* command = waiting_.Pop();
    if (command->form == PendingCommand::Form::kLoad || command->form == PendingCommand::Form::kAsking) {
      command->Abandon();
      continue;
    }
    command->form = PendingCommand::Form::kByHash;
    command->unknown_to_redis = 0;
    Push(command);
  }
}

void CommandPipeline::Disconnected() {
  reader_.reset();
  loading_.clear();
  output_.Clear();
}

bool CommandPipeline::Receive(const char* bytes, std::size_t size) {
  reader_->Feed(bytes, size);
  // A completion may push commands, but never ends the connection: that happens on later turns of the loop.
  Reply reply;
  while (true) {
    switch (reader_->Next(reply)) {
      case ReplyReader::Step::kNeedsMore:
        return true;
      case ReplyReader::Step::kBroken:
        fault_ = reader_->fault();
        return false;
      case ReplyReader::Step::kReply:
        break;
    }
    PendingCommand* command = waiting_.Pop();
    if (command == nullptr) {
      fault_ = "a reply came that nobody has asked for";
      return false;
    }
    if (!Answer(command, std::move(reply))) return false;
  }
}

bool CommandPipeline::Answer(PendingCommand* command, Reply reply) {
  if (command->form == PendingCommand::Form::kLoad) {
    std::erase(loading_, command->script);
    command->Complete(std::move(reply.value));
  } else if (!reply.error || command->form == PendingCommand::Form::kAsking) {
    command->Complete(std::move(reply.value));
  } else if (command->script != nullptr && reply.value.text.starts_with("NOSCRIPT")) {
    SendAgain(command);
  } else if (following_.readonly && IsReadonly(reply.value.text)) {
    waiting_.PushFront(command);
    fault_ = reply.value.text;
    return false;
  } else if (following_.moved || following_.asking) {
    return Elsewhere(command, reply.value.text);
  } else {
    command->Complete(Error{ClassifyRedisError(reply.value.text), std::move(reply.value.text)});
  }
  return true;
}

bool CommandPipeline::Elsewhere(PendingCommand* command, const std::string& error) {
  auto redirection = ParseRedirection(error);
  if (!redirection) {
    command->Complete(Error{ClassifyRedisError(error), error});
  } else if (following_.asking) {
    // The slot has gone on meanwhile. Whoever asks again asks the node that knows.
    command->Complete(Error{Errc::kCacheUnavailable, error});
  } else if (redirection->for_good) {
    // First in the next connection; what was sent behind it is answered alike there.
    waiting_.PushFront(command);
    moved_to_ = std::move(redirection->place);
    fault_ = error;
    return false;
  } else {
    following_.ask(std::move(redirection->place), command);
  }
  return true;
}

void CommandPipeline::SendAgain(PendingCommand* command) {
  // One load serves everybody in the pipeline. If even that does not help (a script that Redis can't
  // compile), the source itself is run, which answers the reason.
  if (++command->unknown_to_redis > 1) {
    command->form = PendingCommand::Form::kBySource;
  } else if (std::find(loading_.begin(), loading_.end(), command->script) == loading_.end()) {
    auto* load = new OwnCommand;
    load->script = command->script;
    load->deadline = command->deadline;
    load->form = PendingCommand::Form::kLoad;
    loading_.push_back(command->script);
    Push(load);
  }
  Push(command);
}

void CommandPipeline::CompleteLate(SteadyClock::time_point now, const Error& error) {
  CommandQueue late;
  for (std::size_t left = waiting_.size(); left > 0; --left) {
    PendingCommand* command = waiting_.Pop();
    (command->deadline <= now ? late : waiting_).Push(command);
  }
  late.CompleteAll(error);
}

void CommandPipeline::CompleteAll(const Error& error) {
  // A completion may push again: that one is not part of `all`.
  CommandQueue all = std::move(waiting_);
  all.CompleteAll(error);
}

Errc ClassifyRedisError(std::string_view text) {
  constexpr std::string_view kAway[] = {"LOADING ",     "READONLY ", "MASTERDOWN ", "NOREPLICAS ",
                                        "CLUSTERDOWN ", "TRYAGAIN ", "BUSY "};
  return IsOneOf(text, kAway) ? Errc::kCacheUnavailable : Errc::kCacheRefused;
}

}  // namespace msfl::cache
