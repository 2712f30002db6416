#include "recovery/replication.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <set>
#include <utility>

#include "base/log.h"
#include "collective/undertaking.h"
#include "recovery/held_parts.h"
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

flatbuffers::Offset<schema::PartName> EncodeName(flatbuffers::FlatBufferBuilder& builder,
                                                 const PartKey& key) {
  const auto instance = builder.CreateString(key.instance);
  const auto part = builder.CreateString(key.part);
  return schema::CreatePartName(builder, instance, key.iteration, part);
}

flatbuffers::Offset<schema::LedgerEntry> EncodeEntry(flatbuffers::FlatBufferBuilder& builder,
                                                     std::uint64_t sequence,
                                                     const cache::HeldUpdate& update) {
  const auto fl_id = builder.CreateString(update.fl_id);
  const auto nonce = builder.CreateString(update.nonce);
  const auto digest = builder.CreateString(update.digest);
  return schema::CreateLedgerEntry(builder, sequence, fl_id, nonce, digest);
}

flatbuffers::Offset<schema::Piece> EncodePiece(flatbuffers::FlatBufferBuilder& builder,
                                               const std::string& address, const std::string& name,
                                               std::uint64_t bytes) {
  const auto where = builder.CreateString(address);
  const auto text = builder.CreateString(name);
  return schema::CreatePiece(builder, where, text, bytes);
}

// The values of an update as one range of memory, with a table of where each feature's begin.
struct UpdatePiece {
  UpdatePiece(const model::Layout& layout, std::span<const model::Contribution> values) {
    const std::uint8_t *first = nullptr, *last = nullptr;
    const auto is_first = [&](std::size_t feature) {
      return std::ranges::none_of(rows, [&](const Row& row) { return row.feature == feature; });
    };
    // Of a feature that is named twice the last one counts.
    for (auto at = values.rbegin(); at != values.rend(); ++at) {
      const model::Feature& feature = layout.features()[at->feature];
      if (!feature.require_aggr || (values.size() > layout.features().size() && !is_first(at->feature)))
        continue;
      const auto* const begin = reinterpret_cast<const std::uint8_t*>(at->values);
      const std::uint8_t* const end = begin + feature.elements * sizeof(float);
      if (first == nullptr || begin < first) first = begin;
      if (last == nullptr || end > last) last = end;
      rows.push_back({at->feature, reinterpret_cast<std::uintptr_t>(begin)});
    }
    for (Row& row : rows) row.offset -= reinterpret_cast<std::uintptr_t>(first);
    payload.Add(rows.data(), rows.size() * sizeof(Row));
    payload.Add(first, static_cast<std::size_t>(last - first));
    bytes = rows.size() * sizeof(Row) + static_cast<std::size_t>(last - first);
  }
  struct Row {
    std::uint64_t feature;
    std::uint64_t offset;
  };
  std::vector<Row> rows;
  net::GatherBuffers payload;
  std::uint64_t bytes = 0;
};

}  // namespace

struct Replication::Impl {
  Impl(cache::JobStore& job_store, std::shared_ptr<BufferPool> pool, ReplicationOptions given)
      : store(job_store),
        options(std::move(given)),
        peers(std::make_shared<Peers>(options.fl_name, options.node_id, options.tcp_address)),
        held(std::make_shared<HeldParts>(peers, std::move(pool), options.fetch_memory)) {}

  using Self = std::shared_ptr<Impl>;
  using Stop = std::function<bool()>;
  static Task<bool> Hold(Self self, std::shared_ptr<Part> part, Update update, OwnerNode owner, Stop stop);
  static Task<> HoldBy(Self self, std::shared_ptr<Part> part, std::shared_ptr<const Update> update,
                       std::uint64_t features, std::uint64_t bytes, Holder holder,
                       std::shared_ptr<std::set<std::string>> held_by, Stop stop);
  static Task<Result<std::size_t>> Arrange(Self self, std::shared_ptr<Part> part, OwnerNode owner,
                                           std::size_t wanted, Stop stop);
  static Task<Result<bool>> ArrangeOnce(Self self, std::shared_ptr<Part> part, OwnerNode owner,
                                        std::size_t wanted, Stop stop);
  static Task<bool> CopyTo(Self self, std::shared_ptr<Part> part, Holder holder, Stop stop);
  static Task<Result<void>> GiveCopy(Self self, std::shared_ptr<Part> part, Holder holder, Stop stop);
  bool IsArranged(const Part& part, std::size_t wanted) const {
    return part.holders.recorded() && (part.holders.Get().size() >= wanted || !part.holders.MaySearch());
  }

  cache::JobStore& store;
  const ReplicationOptions options;
  const std::shared_ptr<Peers> peers;
  const std::shared_ptr<HeldParts> held;
  std::shared_ptr<const model::Layout> layout;
  std::atomic<std::uint64_t> pieces{0}, copies{0}, taken_over{0}, dropped{0};
};

Task<bool> Replication::Impl::Hold(Self self, std::shared_ptr<Part> part, Update update, OwnerNode owner,
                                   Stop stop) {
  const UpdatePiece piece(*self->layout, update.values);
  const auto shared = std::make_shared<const Update>(update);
  const auto held_by = std::make_shared<std::set<std::string>>();
  Peers::Offer offer(*self->peers, update.id.nonce, piece.payload);
  bool failed = false, held = false;
  try {
    while (!stop()) {
      const Result<std::size_t> arranged =
          co_await Arrange(self, part, owner, self->options.replicas, stop);
      held = !arranged && arranged.error().code != Errc::kStopping;  // the count will say so, too
      if (!arranged) break;
      std::vector<Task<>> tasks;
      for (const Holder& holder : part->holders.Get()) {
        if (held_by->contains(holder.node_id)) continue;
        tasks.push_back(
            HoldBy(self, part, shared, piece.rows.size(), piece.bytes, holder, held_by, stop));
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

Task<> Replication::Impl::HoldBy(Self self, std::shared_ptr<Part> part, std::shared_ptr<const Update> update,
                                 std::uint64_t features, std::uint64_t bytes, Holder holder,
                                 std::shared_ptr<std::set<std::string>> held_by, Stop stop) {
  Peers::Question question;
  question.peer = Peer{holder.node_id, holder.address};
  question.stop = stop;
  question.encode = [&](const collective::Envelope& envelope) {
    flatbuffers::FlatBufferBuilder builder;
    const auto name = EncodeName(builder, part->key);
    const auto piece = EncodePiece(builder, self->peers->address(), update->id.nonce, bytes);
    const auto entry = EncodeEntry(builder, update->sequence, update->id);
    return collective::EncodeRequest(
        builder, envelope,
        schema::CreateHoldQuestion(builder, name, piece, features, entry, part->ledger.settled_below(),
                                   update->data_size, update->eval_data_size, update->loss, update->accuracy));
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
    Result<bool> arranged(false);
    bool failed = false;
    try {
      if (!self->IsArranged(*part, wanted)) arranged = co_await ArrangeOnce(self, part, owner, wanted, stop);
    } catch (const std::exception&) {
      failed = true;
    }
    part->holders.EndArranging();
    if (failed) throw std::bad_alloc();
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
    if (id == self->options.node_id || holds || server.silent_ms > kSilentMs || part->holders.HasFailed(id))
      continue;
    ++tried;
    Holder holder{id, server.node.tcp_address};
    const bool copied = co_await CopyTo(self, part, holder, stop);
    if (!copied) part->holders.Drop(id);
  }
  std::vector<std::string> ids;
  for (const Holder& holder : part->holders.Get()) ids.push_back(holder.node_id);
  if (ids.size() < wanted) part->holders.SetNextSearch(SteadyClock::now() + kNextSearch);
  if (tried == 0 && part->holders.recorded()) co_return true;
  const cache::Node node = owner();
  const cache::IterationKey in = part->key.in();
  const std::string name = part->key.part;
  const Result<cache::SetHoldersVerdict> verdict = co_await self->store.SetHolders(in, name, node, ids);
  if (!verdict) co_return false;
  switch (*verdict) {
    case cache::SetHoldersVerdict::kDone:
      part->holders.SetRecorded(ids);
      if (ids.size() < wanted && tried > 0) {
        MSFL_LOG(kWarning, "updates of this Server are held by " << ids.size() << " others instead of "
                                                                 << wanted);
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
  bool failed = false;
  try {
    given = co_await GiveCopy(self, part, holder, stop);
    // Before anything else is added: from here on it gets that, too.
    if (given) part->holders.Add(holder);
  } catch (const std::exception&) {
    failed = true;
  }
  part->ledger.Resume();
  if (failed) throw std::bad_alloc();
  if (given) ++self->copies;
  if (!given && !stop()) {
    MSFL_LOG(kWarning, "a Server can't hold the updates of this one: node=" << holder.node_id << ": "
                                                                            << given.error().text);
  }
  co_return given.has_value();
}

Task<Result<void>> Replication::Impl::GiveCopy(Self self, std::shared_ptr<Part> part, Holder holder,
                                               Stop stop) {
  std::vector<std::uint64_t> sizes(self->layout->features().size());
  for (std::size_t i = 0; i < sizes.size(); ++i) sizes[i] = part->sum.data_size(i);
  const std::uint64_t uploads = part->sum.uploads();
  const std::vector<LedgerEntry> unsettled = part->ledger.Unsettled();
  net::GatherBuffers payload;
  std::uint64_t bytes = 0;
  if (uploads > 0) {
    payload.Add(sizes.data(), sizes.size() * sizeof sizes[0]);
    payload.Add(part->sum.sums().data(), part->sum.sums().size_bytes());
    bytes = sizes.size() * sizeof sizes[0] + part->sum.sums().size_bytes();
  }
  const std::string name = "copy " + std::to_string(++self->pieces);
  Peers::Question question;
  question.peer = Peer{holder.node_id, holder.address};
  question.stop = stop;
  question.encode = [&](const collective::Envelope& envelope) {
    flatbuffers::FlatBufferBuilder builder;
    const auto of = EncodeName(builder, part->key);
    const auto piece = EncodePiece(builder, self->peers->address(), name, bytes);
    std::vector<flatbuffers::Offset<schema::LedgerEntry>> entries;
    for (const LedgerEntry& entry : unsettled)
      entries.push_back(EncodeEntry(builder, entry.sequence, entry.update));
    const auto list = builder.CreateVector(entries);
    const model::MetricSums metrics = part->metrics();
    return collective::EncodeRequest(
        builder, envelope,
        schema::CreateCopyQuestion(builder, of, piece, uploads, list, metrics.data_size,
                                   metrics.eval_data_size, metrics.loss, metrics.accuracy));
  };
  Peers::Offer offer(*self->peers, name, payload);
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

void Replication::Enter(const cache::IterationKey& current) {
  impl_->held->Enter(current.instance, current.number);
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
      MSFL_LOG(kWarning, "the updates of another Server are taken over: node=" << key.part << " iteration="
                                                                               << key.iteration << " updates="
                                                                               << answer->counted);
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
