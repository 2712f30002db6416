// The record of an iteration that has ended, a part of Switch: each Server tells what it has seen, one of
// them writes it all down, and the next iteration opens only then.
//
// The writer dies: the first Server to look again takes its place. The cache can't be reached: each Server
// writes down what it knows itself, rather than that nobody does.
#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "job/job.h"

namespace msfl::job {
namespace {

constexpr std::int64_t kMostUnrecorded = 3;
// For what the other Servers have to tell, and for a cache that does not answer.
constexpr std::chrono::seconds kOthersPatience(2), kCachePatience(15);
constexpr std::chrono::milliseconds kLook(200);
// Of a Server that is alive the heartbeat comes every second. One that was killed holds up an iteration or
// two and not every one until its heartbeat has run out.
constexpr std::int64_t kSilentMs = 2'500;
constexpr std::chrono::milliseconds kSinceAway(2'000);

}  // namespace

Task<> Phases::Record(Job& job, IterationEnded ended) {
  MSFL_LOG(kInfo, "iteration " << ended.key.number << " is " << (ended.valid ? "valid: " : "invalid: ")
                               << ended.reason);
  co_await Summarise(job, ended);
  if (!ended.writer) {
    job.on_iteration_ended_(std::move(ended));
    co_return;
  }
  const cache::IterationKey key = ended.key;
  co_await Write(job, std::move(ended));
  // Also when nobody else is there: who was not listed for a moment may have the iteration yet to end.
  static_cast<void>(co_await job.store_.MarkRecorded(key));
}

// Until this Server has nothing more to wait for: it is not the writer and all is recorded, or it is, and has
// heard everybody.
Task<> Phases::Summarise(Job& job, IterationEnded& ended) {
  const std::string id = job.node()->id, own = EncodeSummary(ended);
  const SteadyClock::time_point begun = SteadyClock::now(), others_by = begun + kOthersPatience;
  const SteadyClock::time_point recorded_by =
      SteadyClock::now() + std::chrono::milliseconds(job.options_.record_patience_ms);
  cache::Summaries told;
  job.awaited_.reset();
  while (true) {
    const cache::IterationKey key = ended.key;
    const std::string text = own;
    const Result<cache::Summaries> answer = co_await job.store_.Summarise(key, id, text);
    const SteadyClock::time_point now = SteadyClock::now();
    if (!answer) {
      // The writer may be gone as well, and what it had been told with the cache: then this one is it.
      if (now < (ended.writer ? others_by : begun + kCachePatience) && !job.stop_requested_) {
        co_await job.wakeup_.Wait(now + kLook);
        continue;
      }
      co_return;  // as the writer of what it knows itself
    }
    told = *answer;
    ended.writer = told.writer && !told.recorded;
    if (told.recorded || job.stop_requested_) break;
    const bool all = co_await AllHaveTold(job, told);
    if (told.writer && (all || now >= others_by)) break;
    if (!told.writer && (!job.options_.await_record || now >= recorded_by)) break;
    co_await job.wakeup_.Wait(now + kLook);
  }
  // Unless this Server is in a hurry: then its last phase finds out who is there, and waits for them.
  if (!job.awaited_ && !job.stop_requested_) {
    job.awaited_.emplace();
    for (const auto& [node_id, text] : told.texts) job.awaited_->push_back(node_id);
  }
  job.last_ended_ = ended.key;
  job.last_summary_ = own;
  for (const auto& [node_id, text] : told.texts) {
    if (ended.writer && node_id != id) AddSummary(ended, text);
  }
}

// Those that were alive when the iteration had ended: neither a Server that is still listed and has fallen
// silent nor one that has come since has anything to tell.
Task<bool> Phases::AllHaveTold(Job& job, const cache::Summaries& told) {
  if (told.complete) co_return true;
  if (!job.awaited_) {
    const auto servers = co_await job.store_.ListServers();
    if (!servers) co_return false;
    job.awaited_.emplace();
    // While the cache was away nobody's heartbeat was renewed.
    const SteadyClock::time_point missed{SteadyClock::duration(job.cache_missed_ns_.load())};
    const std::chrono::milliseconds dead_after(job.options_.dead_after_ms);
    const bool was_away = SteadyClock::now() - dead_after - kSinceAway < missed;
    for (const cache::JobStore::ListedServer& server : *servers) {
      if (was_away ? server.heartbeat_left_ms > 0 : server.silent_ms < kSilentMs)
        job.awaited_->push_back(server.node.id);
    }
  }
  const auto has_told = [&](const std::string& id) { return told.texts.contains(id); };
  co_return std::ranges::all_of(*job.awaited_, has_told);
}

Task<> Phases::Write(Job& job, IterationEnded ended) {
  const std::uint64_t number = ended.key.number;
  job.recorded_ = 0;
  ++job.unrecorded_;
  job.on_iteration_ended_(std::move(ended));
  const bool wait = job.options_.await_record;
  // Without waiting, too, the models that wait for a slow disk must not fill the memory.
  const auto behind = [&] { return wait ? job.recorded_ != number : job.unrecorded_ > kMostUnrecorded; };
  const SteadyClock::time_point patience =
      SteadyClock::now() + std::chrono::milliseconds(job.options_.record_patience_ms);
  while (behind() && !job.stop_requested_ && SteadyClock::now() < patience) {
    co_await job.wakeup_.Wait(patience);
  }
  if (wait && behind() && !job.stop_requested_) {
    MSFL_LOG(kError,
             "the files of iteration " << number << " are not written yet; it is served without them");
  }
}

}  // namespace msfl::job
