#include "recovery/replication.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/lost_coroutine.h"
#include "collective/undertaking.h"
#include "recovery/held_parts.h"
#include "recovery/journal.h"
#include "recovery/peers.h"

namespace msfl::recovery {

namespace {

using collective::Undertaking;
using std::chrono::milliseconds;

// A heartbeat is renewed each second: who is silent for longer is not asked to hold anything.
constexpr std::int64_t kSilentMs = 2'500;
constexpr milliseconds kPause{100};
constexpr std::chrono::seconds kPatience(5), kNextSearch(1);

Task<> Rest(milliseconds time) {
  const Executor executor = co_await asio::this_coro::executor;
  asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor> timer(executor, time);
  co_await timer.async_wait(kAwait);
}

}  // namespace

struct Replication::Impl {
  Impl(cache::JobStore& job_store, std::shared_ptr<BufferPool> pool, ReplicationOptions given)
      : store(job_store),
        options(std::move(given)),
        peers(std::make_shared<Peers>(options.fl_name, options.node_id, options.tcp_address)),
        held(std::make_shared<HeldParts>(peers, std::move(pool), options.fetch_memory)) {
    if (options.journal) journal = std::make_unique<Journal>(options.folder, options.fl_name);
  }

  using Self = std::shared_ptr<Impl>;
  using Stop = std::function<bool()>;
  static Task<bool> Hold(Self self, std::shared_ptr<Part> part, Update update, OwnerNode owner, Stop stop);
  static Task<> HoldBy(Self self, std::shared_ptr<Part> part, std::shared_ptr<const Update> update,
                       std::shared_ptr<const UpdatePiece> piece, Holder holder,
                       std::shared_ptr<std::set<std::string>> held_by, Stop stop);
  static Task<Result<std::size_t>> Arrange(Self self, std::shared_ptr<Part> part, OwnerNode owner,
                                           std::size_t wanted, Stop stop);
  static Task<Result<bool>> ArrangeOnce(Self self, std::shared_ptr<Part> part, OwnerNode owner,
                                        std::size_t wanted, Stop stop);
  static Task<bool> CopyTo(Self self, std::shared_ptr<Part> part, Holder holder, Stop stop);
  static Task<Result<void>> GiveCopy(Self self, std::shared_ptr<Part> part, Holder holder, Stop stop);
  static Task<> Write(Self self, std::shared_ptr<Part> part, std::shared_ptr<const Update> update,
                      std::shared_ptr<const UpdatePiece> piece);
  collective::Envelope ToDisk() const {
    collective::Envelope envelope;
    envelope.fl_name = options.fl_name;
    envelope.sender = options.node_id;
    envelope.receiver = "disk";
    return envelope;
  }
  bool IsArranged(const Part& part, std::size_t wanted) const {
    return part.holders.recorded() && (part.holders.Get().size() >= wanted || !part.holders.MaySearch());
  }

  cache::JobStore& store;
  const ReplicationOptions options;
  const std::shared_ptr<Peers> peers;
  const std::shared_ptr<HeldParts> held;
  std::unique_ptr<Journal> journal;   // made when there is something to be written
  std::vector<Journal::Found> found;  // of other processes; theirs as long as they are here
  cache::IterationKey entered;
  std::shared_ptr<const model::Layout> layout;
  std::atomic<std::uint64_t> pieces{0}, copies{0}, taken_over{0}, dropped{0};
};

Task<bool> Replication::Impl::Hold(Self self, std::shared_ptr<Part> part, Update update, OwnerNode owner,
                                   Stop stop) {
  const auto piece = std::make_shared<const UpdatePiece>(*self->layout, update.values);
  const auto shared = std::make_shared<const Update>(update);
  const auto held_by = std::make_shared<std::set<std::string>>();
  Peers::Offer offer(*self->peers, update.id.nonce, piece->payload());
  bool failed = false, held = false;
  try {
    if (self->options.journal && part->holders.on_disk()) co_await Write(self, part, shared, piece);
    while (!stop()) {
      const Result<std::size_t> arranged = co_await Arrange(self, part, owner, self->options.replicas, stop);
      held = !arranged && arranged.error().code != Errc::kStopping;  // the count will say so, too
      if (!arranged) break;
      std::vector<Task<>> tasks;
      for (const Holder& holder : part->holders.Get()) {
        if (held_by->contains(holder.node_id)) continue;
        tasks.push_back(HoldBy(self, part, shared, piece, holder, held_by, stop));
      }
      held = tasks.empty() && part->holders.recorded();
      if (held) break;
      const Executor executor = co_await asio::this_coro::executor;
      const auto all = std::make_shared<Undertaking>(executor, [] { return std::optional<Error>(); });
      co_await Undertaking::All(all, std::move(tasks));
    }
  } catch (const std::exception&) {
    failed = true;
  }
  co_await offer.Withdraw();
  if (failed) throw std::bad_alloc();
  co_return held;
}

Task<> Replication::Impl::Write(Self self, std::shared_ptr<Part> part, std::shared_ptr<const Update> update,
                                std::shared_ptr<const UpdatePiece> piece) {
  collective::Bytes request = EncodeHold(self->ToDisk(), *part, *update, *piece, {});
  const bool written = co_await self->journal->Append(std::move(request), piece->payload());
  if (!written) part->holders.SetOnDisk(false);  // nothing is counted before the record says so, too
}

Task<> Replication::Impl::HoldBy(Self self, std::shared_ptr<Part> part, std::shared_ptr<const Update> update,
                                 std::shared_ptr<const UpdatePiece> piece, Holder holder,
                                 std::shared_ptr<std::set<std::string>> held_by, Stop stop) {
  Peers::Question question;
  question.peer = Peer{holder.node_id, holder.address};
  question.stop = stop;
  question.bytes = piece->bytes();
  question.encode = [&](const collective::Envelope& envelope) {
    return EncodeHold(envelope, *part, *update, *piece, {self->peers->address(), update->id.nonce});
  };
  const Result<void> done = co_await Peers::Ask(self->peers, std::move(question));
  if (done) {
    held_by->insert(holder.node_id);
  } else if (!stop() && part->holders.Drop(holder.node_id)) {
    ++self->dropped;
    MSFL_LOG(kWarning, "a Server that held the updates of this one does so no more: node="
                           << holder.node_id << ": " << done.error().text);
  }
}

Task<Result<std::size_t>> Replication::Impl::Arrange(Self self, std::shared_ptr<Part> part, OwnerNode owner,
                                                     std::size_t wanted, Stop stop) {
  while (!stop() && !self->peers->cancelled()) {
    if (self->IsArranged(*part, wanted)) co_return part->holders.Get().size();
    const SteadyClock::time_point until = SteadyClock::now() + kPatience;
    const bool mine = co_await part->holders.BeginArranging(until);
    if (!mine) continue;
    Result<bool> arranged(true);
    {
      const LostCoroutine end([part] { part->holders.EndArranging(); });  // whatever comes
      if (!self->IsArranged(*part, wanted)) arranged = co_await ArrangeOnce(self, part, owner, wanted, stop);
    }
    if (!arranged) co_return arranged.error();
    if (!*arranged) co_await Rest(kPause);
  }
  co_return Error{Errc::kStopping, "this Server is stopping"};
}

// False: to be tried again.
Task<Result<bool>> Replication::Impl::ArrangeOnce(Self self, std::shared_ptr<Part> part, OwnerNode owner,
                                                  std::size_t wanted, Stop stop) {
  auto listed = co_await self->store.ListServers();
  if (!listed) co_return false;  // the cache is away
  const auto is_listed = [&](const std::string& id) {
    return std::ranges::any_of(*listed, [&](const auto& server) { return server.node.id == id; });
  };
  for (const Holder& holder : part->holders.Get()) {
    if (!is_listed(holder.node_id)) part->holders.Drop(holder.node_id);
  }
  // The next ones in the order of node ids, so that the load is spread.
  std::ranges::sort(*listed, {}, [&](const auto& server) {
    return std::pair(server.node.id < self->options.node_id, server.node.id);
  });
  std::size_t tried = 0;
  for (const cache::JobStore::ListedServer& server : *listed) {
    const std::vector<Holder> now = part->holders.Get();
    if (now.size() >= wanted || stop()) break;
    const std::string& id = server.node.id;
    const bool holds = std::ranges::any_of(now, [&](const Holder& holder) { return holder.node_id == id; });
    const bool own = id == self->options.node_id || id == part->key.part;  // which has been given up
    if (own || holds || server.silent_ms > kSilentMs || part->holders.HasFailed(id)) continue;
    ++tried;
    Holder holder{id, server.node.tcp_address};
    const bool copied = co_await CopyTo(self, part, holder, stop);
    if (!copied) part->holders.Drop(id);
  }
  // Not with those who could not be asked in time: they may have a copy.
  if (stop()) co_return false;
  const std::size_t count = part->holders.Get().size();
  const std::vector<std::string> words = part->holders.Words();
  if (count < wanted) part->holders.SetNextSearch(SteadyClock::now() + kNextSearch);
  if (tried == 0 && part->holders.recorded()) co_return true;
  const cache::Node node = owner();
  const cache::IterationKey in = part->key.in();
  const std::string name = part->key.part;
  const Result<cache::SetHoldersVerdict> verdict = co_await self->store.SetHolders(in, name, node, words);
  if (!verdict) co_return false;
  switch (*verdict) {
    case cache::SetHoldersVerdict::kDone:
      part->holders.SetRecorded(words);
      if (count < wanted && tried > 0) {
        MSFL_LOG(kWarning, "updates of this Server are held by " << count << " others instead of " << wanted);
      }
      co_return true;
    case cache::SetHoldersVerdict::kNotListed:
      co_return false;
    case cache::SetHoldersVerdict::kMoved:
    case cache::SetHoldersVerdict::kFenced:
      break;
  }
  co_return Error{Errc::kDisagreement, "nothing is counted in this part any more"};
}

Task<bool> Replication::Impl::CopyTo(Self self, std::shared_ptr<Part> part, Holder holder, Stop stop) {
  const SteadyClock::time_point until = SteadyClock::now() + kPatience;
  const bool paused = co_await part->ledger.Pause(until);
  if (!paused) co_return false;
  Result<void> given;
  {
    const LostCoroutine resume([part] { part->ledger.Resume(); });  // whatever comes
    given = co_await GiveCopy(self, part, holder, stop);
    // Before anything else is added: from here on it gets that, too.
    if (given) part->holders.Add(holder);
  }
  if (given) ++self->copies;
  if (!given && !stop()) {
    MSFL_LOG(kWarning, "a Server can't hold the updates of this one: node=" << holder.node_id << ": "
                                                                            << given.error().text);
  }
  co_return given.has_value();
}

Task<Result<void>> Replication::Impl::GiveCopy(Self self, std::shared_ptr<Part> part, Holder holder,
                                               Stop stop) {
  const CopyPiece piece(*part, *self->layout, part->ledger.Unsettled());
  const std::uint64_t number = ++self->pieces;
  const std::string name = "copy " + std::to_string(number);
  Peers::Question question;
  question.peer = Peer{holder.node_id, holder.address};
  question.stop = stop;
  question.encode = [&](const collective::Envelope& envelope) {
    return EncodeCopy(envelope, *part, piece, {self->peers->address(), name, number});
  };
  question.bytes = piece.bytes();
  Peers::Offer offer(*self->peers, name, piece.payload());
  const Result<void> given = co_await Peers::Ask(self->peers, std::move(question));
  co_await offer.Withdraw();
  co_return given;
}

Replication::Replication(cache::JobStore& store, std::shared_ptr<BufferPool> pool, ReplicationOptions options)
    : impl_(std::make_shared<Impl>(store, std::move(pool), std::move(options))) {}

Replication::~Replication() { Cancel(); }

std::uint64_t Replication::replicas() const { return impl_->options.replicas; }

void Replication::SetLayout(std::shared_ptr<const model::Layout> layout) {
  impl_->layout = layout;
  impl_->held->SetLayout(std::move(layout));
}

void Replication::ForgetDisk() {
  if (impl_->journal != nullptr) impl_->journal->Forget();
}

bool Replication::guards() const { return impl_->options.replicas > 0 || impl_->options.journal; }

void Replication::Enter(Part& own) {
  impl_->held->Enter(own.key.instance, own.key.iteration);
  if (const cache::IterationKey now = own.key.in(); impl_->entered != now) {
    for (const Journal::Found& found : impl_->found) found.Remove();
    impl_->found.clear();
    impl_->entered = now;
  }
  if (!impl_->options.journal) return;
  const CopyPiece nothing(own, *impl_->layout, {});
  impl_->journal->Restart(EncodeCopy(impl_->ToDisk(), own, nothing, {}));
  own.holders.SetOnDisk(true);
}

std::vector<PartKey> Replication::Recover() {
  if (impl_->options.folder.empty()) return {};
  const std::uint64_t table = impl_->layout->features().size() * 2 * sizeof(std::uint64_t);
  const std::uint64_t most = table + 2 * LargestUpdate(*impl_->layout) + (1 << 28);  // a sum and its ledger
  impl_->found = Journal::Find(impl_->options.folder, impl_->options.fl_name);
  for (const Journal::Found& found : impl_->found) {
    std::string fault;
    const std::string unread = found.Read(most, [&](const auto& head, const auto& payload) {
      const std::string of_record = impl_->held->Replay(head, payload);
      if (fault.empty()) fault = of_record;
    });
    MSFL_LOG(kInfo, "updates that a process has left behind: file=" << found.path());
    if (fault.empty()) fault = unread;
    if (!fault.empty()) MSFL_LOG(kWarning, found.path() << ": " << fault);
  }
  return impl_->held->Keys();
}

Task<Result<bool>> Replication::Claim(PartKey key, cache::Node node) {
  const std::shared_ptr<Impl> self = impl_;
  const cache::IterationKey in = key.in();
  const std::string part = key.part;
  co_return co_await self->store.ClaimPart(in, part, node);
}

Task<bool> Replication::KeepOnDisk(std::shared_ptr<Part> part, OwnerNode owner, std::function<bool()> stop) {
  const std::shared_ptr<Impl> self = impl_;
  if (self->options.folder.empty()) co_return false;
  if (!part->holders.on_disk()) {
    if (self->journal == nullptr)
      self->journal = std::make_unique<Journal>(self->options.folder, self->options.fl_name);
    const CopyPiece piece(*part, *self->layout, part->ledger.Unsettled());
    collective::Bytes request = EncodeCopy(self->ToDisk(), *part, piece, {});
    const bool written = co_await self->journal->Append(std::move(request), piece.payload());
    if (!written) co_return false;
    part->holders.SetOnDisk(true);
  }
  const auto arranged = co_await Impl::Arrange(self, part, owner, 0, stop);
  if (!arranged) co_return false;
  self->found.clear();  // not removed
  co_return true;
}

Task<bool> Replication::Hold(std::shared_ptr<Part> part, Update update, OwnerNode owner,
                             std::function<bool()> stop) {
  return Impl::Hold(impl_, std::move(part), std::move(update), std::move(owner), std::move(stop));
}

Task<Result<std::size_t>> Replication::Arrange(std::shared_ptr<Part> part, OwnerNode owner,
                                               std::size_t wanted, std::function<bool()> stop) {
  return Impl::Arrange(impl_, std::move(part), std::move(owner), wanted, std::move(stop));
}

Task<Result<std::shared_ptr<Part>>> Replication::TakeOver(PartKey key, cache::Node heir) {
  const std::shared_ptr<Impl> self = impl_;
  const std::optional<HeldParts::Taken> taken = co_await HeldParts::Take(self->held, key);
  std::shared_ptr<Part> part;
  std::vector<cache::HeldUpdate> unsettled;
  std::uint64_t uploads = 0;
  if (taken && taken->part == nullptr)
    co_return Error{Errc::kPeerUnavailable, "something is still being added to them"};
  if (taken) {
    part = taken->part;
    unsettled = taken->unsettled;
    uploads = part->sum.uploads();
  }
  const cache::IterationKey in = key.in();
  const std::string name = key.part;
  const Result<cache::TakeOverAnswer> answer =
      co_await self->store.TakeOver(in, name, heir, uploads, std::move(unsettled));
  if (!answer) co_return answer.error();  // asked again, it may be known to be done
  std::shared_ptr<Part> none;
  switch (answer->verdict) {
    case cache::TakeOverVerdict::kTaken:
      self->held->Forget(key);
      ++self->taken_over;
      MSFL_LOG(kWarning, "the updates of another Server are taken over: node="
                             << key.part << " iteration=" << key.iteration << " updates=" << answer->counted);
      co_return part;
    case cache::TakeOverVerdict::kIncomplete:
      self->held->Forget(key);
      MSFL_LOG(kError, "what is held of another Server is not what is counted: node="
                           << key.part << " iteration=" << key.iteration << " counted=" << answer->counted
                           << " held=" << uploads);
      co_return none;
    case cache::TakeOverVerdict::kNotHeir:
      self->held->GiveBack(key);
      co_return none;
    case cache::TakeOverVerdict::kMoved:
      break;
  }
  co_return none;
}

bool Replication::Answers(std::span<const std::uint8_t> head) const {
  const schema::PeerRequest* const request = collective::VerifyRequest(head);
  if (request == nullptr || request->fl_name()->string_view() != impl_->peers->fl_name() ||
      request->receiver()->string_view() != impl_->peers->node_id()) {
    return false;  // the exchange says what is wrong with it
  }
  using Kind = schema::PeerQuestion;
  const Kind kind = request->question_type();
  return kind == Kind::PieceQuestion || kind == Kind::HoldQuestion || kind == Kind::CopyQuestion;
}

Task<net::PeerAnswer> Replication::Answer(std::span<const std::uint8_t> head) {
  const std::shared_ptr<Impl> self = impl_;
  const schema::PeerRequest& request = *collective::VerifyRequest(head);
  if (request.question_type() == schema::PeerQuestion::PieceQuestion) {
    const std::string name = request.question_as_PieceQuestion()->name()->str();
    co_return Peers::AnswerPiece(self->peers, name);
  }
  if (request.question_type() == schema::PeerQuestion::HoldQuestion)
    co_return co_await HeldParts::AnswerHold(self->held, request);
  co_return co_await HeldParts::AnswerCopy(self->held, request);
}

Replication::Statistics Replication::statistics() const {
  Statistics now;
  now.held_parts = impl_->held->count();
  now.copies = impl_->copies;
  now.taken_over = impl_->taken_over;
  now.dropped = impl_->dropped;
  return now;
}

void Replication::Cancel() { impl_->peers->Cancel(); }

void Replication::WaitForNone() { impl_->held->WaitForNone(); }

}  // namespace msfl::recovery
