// Commands under way and the bytes of a Redis that is broken, or none: each command ends once, in order, and
// a reply takes no more memory than its bytes account for.
//
// The input: steps. A byte chooses one; bytes from Redis have a byte of length before them.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "cache/command_pipeline.h"
#include "cache/job_store.h"

namespace {

using namespace msfl::cache;
using msfl::Error;
using msfl::Result;
using msfl::SteadyClock;

[[noreturn]] void Broken(const char* promise) {
  std::fprintf(stderr, "==BROKEN PROMISE== %s\n", promise);
  std::abort();
}

std::size_t made = 0, ended = 0, last_answered = 0;

// A value takes at least its bytes on the wire: "+\r\n" is the shortest.
std::size_t ValuesIn(const RedisValue& value) {
  std::size_t values = 1;
  for (const RedisValue& item : value.array) values += ValuesIn(item);
  return values;
}

std::size_t fed = 0;

class Command final : public PendingCommand {
 public:
  Command() : id_(++made) {}
  void Complete(Result<RedisValue> result) override {
    if (result) {
      if (script == nullptr) {
        if (id_ < last_answered) Broken("replies go to their commands in order");
        last_answered = id_;
      }
      if (3 * ValuesIn(*result) > fed + 3) Broken("a reply holds no more values than came");
    }
    Abandon();
  }
  void Abandon() override {
    ++ended;
    delete this;
  }

 private:
  const std::size_t id_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Script first("first", "return 1"), second("second", "return 2");
  static const std::vector<std::string_view> words{"GET", "key"};
  made = ended = last_answered = fed = 0;
  {
    CommandPipeline pipeline;
    bool connected = false;
    SteadyClock::time_point now;
    const Error late{msfl::Errc::kCacheUnavailable, "late"};
    const auto disconnect = [&] {
      if (connected) pipeline.Disconnected();
      connected = false;
    };
    std::size_t at = 0;
    const auto byte = [&] { return at < size ? data[at++] : std::uint8_t{0}; };
    while (at < size) {
      const std::uint8_t step = byte();
      switch (step % 8) {
        case 0:
        case 1:
        case 2: {
          auto* command = new Command;
          command->script = step % 8 == 0 ? nullptr : step % 8 == 1 ? &first : &second;
          (step % 8 == 0 ? command->arguments : command->keys) = words;
          command->deadline = now + std::chrono::milliseconds(step);
          pipeline.Push(command);
          break;
        }
        case 3:
          disconnect();
          pipeline.Connected();
          connected = true;
          fed = 0;
          // What waits is answered anew.
          last_answered = 0;
          break;
        case 4:
          disconnect();
          break;
        case 5:
          now += std::chrono::milliseconds(step);
          if (pipeline.Late(now)) {
            disconnect();
            pipeline.CompleteLate(now, late);
          }
          break;
        default: {
          const std::size_t length = std::min<std::size_t>(byte(), size - at);
          if (connected) {
            fed += length;
            if (!pipeline.Receive(reinterpret_cast<const char*>(data) + at, length)) {
              if (pipeline.fault().empty()) Broken("a fault is explained");
              disconnect();
            }
          }
          at += length;
        }
      }
      pipeline.output().Clear();
      if (!connected && !pipeline.output().empty()) Broken("nothing is written without a connection");
    }
    disconnect();
    if (size % 2 == 0) pipeline.CompleteAll(late);
  }
  if (made != ended) Broken("every command ends once");
  return 0;
}
