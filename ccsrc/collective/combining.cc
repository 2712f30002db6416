#include "collective/combining.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "model/sum_loops.h"

namespace msfl::collective {

namespace {

// Large enough that a turn of the loop costs nothing beside it, small enough that what was read is still in
// the cache when it is added, and that others on the loop wait for less than a millisecond.
constexpr std::size_t kChunkElements = 64 * 1024;

// Of all that a Server reads while it combines, in bytes per second: who is just above the rate of an answer
// must not draw out what the others wait for. Beside it members may begin late, and each step may stall.
constexpr std::uint64_t kMinimumRate = 1'000'000;
constexpr int kSteps = 3;

}  // namespace

struct Combining::Source {
  std::unique_ptr<PeerCall> call;  // null: this Server itself
  std::unique_ptr<SumReader> reader;
};

SteadyClock::duration Combining::TimeAllowed(const Combination& combination,
                                             std::chrono::milliseconds patience) {
  const std::uint64_t others = combination.members.size() - 1;
  const std::uint64_t own = combination.segment().size();
  const std::uint64_t sums = others * own * sizeof(double);
  const std::uint64_t averages = (combination.model->layout().aggregated_elements() - own) * sizeof(float);
  return kSteps * patience + net::TimeOf(sums + averages, kMinimumRate);
}

Task<> Combining::Run() {
  const std::size_t count = request_.members.size();
  std::vector<Task<>> tasks;
  tasks.push_back(AverageSegment());
  for (std::size_t member = 0; member < count; ++member) {
    if (member != parts_.combination->rank) tasks.push_back(FetchSegment(member));
  }
  co_await Undertaking::All(parts_.undertaking, std::move(tasks));
}

std::string Combining::Digest() {
  const model::Model& model = *parts_.combination->model;
  return alone() ? digester_.Finish(model) : model::Digest(model);
}

Envelope Combining::EnvelopeFor(const Member& member, const PeerCall& call) const {
  Envelope envelope;
  envelope.fl_name = parts_.offers->fl_name();
  envelope.sender = parts_.offers->node_id();
  envelope.receiver = member.node_id;
  envelope.wait = call.wait();
  return envelope;
}

Task<> Combining::Begin(SumReader& reader) { static_cast<void>(co_await reader.Begin()); }

Task<> Combining::AverageSegment() {
  const Combination& combination = *parts_.combination;
  const model::FlatRange segment = combination.segment();
  std::vector<Source> sources(request_.members.size());
  std::vector<Task<>> begins;
  for (std::size_t i = 0; i < sources.size() && !segment.empty(); ++i) {
    if (i == combination.rank) continue;
    const Member& member = request_.members[i];
    sources[i].call = std::make_unique<PeerCall>(parts_.undertaking, parts_.links, member.node_id,
                                                 member.tcp_address, request_.patience, until_);
    sources[i].reader = std::make_unique<SumReader>(*sources[i].call, EnvelopeFor(member, *sources[i].call),
                                                    parts_.combination, i, segment);
    begins.push_back(Begin(*sources[i].reader));
  }
  co_await Undertaking::All(parts_.undertaking, std::move(begins));
  if (ended()) co_return;

  std::vector<std::uint64_t> data_sizes = combination.data_sizes;
  for (const Source& source : sources) {
    if (source.reader == nullptr) continue;
    for (std::size_t i = 0; i < data_sizes.size(); ++i) data_sizes[i] += source.reader->data_sizes()[i];
  }
  const std::size_t chunk = std::min(kChunkElements, segment.size());
  Buffer memory = parts_.pool->Take(2 * chunk * sizeof(double));
  auto* const values = reinterpret_cast<double*>(memory.data());
  for (std::size_t begin = segment.begin; begin < segment.end; begin += chunk) {
    const std::size_t count = std::min(chunk, segment.end - begin);
    const std::span<double> sums(values, count), part(values + chunk, count);
    // Alone, it has nothing to add to: what is in memory is divided where it lies.
    std::span<const double> complete = request_.sum->sums().subspan(begin, count);
    if (!alone()) {
      const bool added = co_await AddParts(sources, sums, part, begin);
      if (!added || ended()) co_return;
      complete = sums;
    }
    if (!model::AverageRange(complete, begin, data_sizes, *request_.start_model, *combination.model)) {
      const Error error{Errc::kNotFinite, "an average of " + combination.key.Text() + " is NaN or infinite"};
      parts_.offers->SetFailed(combination, error);
      parts_.undertaking->End(error);
      co_return;
    }
    if (alone()) digester_.Add(*combination.model, {begin, begin + count});
    parts_.combination->progress.fetch_add(1, std::memory_order_relaxed);
    co_await asio::post(parts_.undertaking->executor(), kAwait);
  }
  parts_.offers->SetAveraged(combination);
}

// In the order of node ids, so that the result does not depend on who adds.
Task<bool> Combining::AddParts(std::vector<Source>& sources, std::span<double> sums, std::span<double> part,
                               std::size_t begin) {
  for (std::size_t i = 0; i < sources.size(); ++i) {
    std::span<const double> values;
    if (sources[i].reader == nullptr) {
      values = request_.sum->sums().subspan(begin, sums.size());
      if (i == 0) std::ranges::copy(values, sums.begin());
    } else {
      const std::span<double> into = i == 0 ? sums : part;
      const bool read = co_await sources[i].reader->Read(into);
      if (!read) co_return false;
      values = into;
    }
    if (i > 0) model::AddSums(sums.data(), values.data(), values.size());
  }
  co_return true;
}

Task<> Combining::FetchSegment(std::size_t member) {
  const Combination& combination = *parts_.combination;
  const model::FlatRange segment = combination.SegmentOf(member);
  if (segment.empty()) co_return;
  const Member& owner = request_.members[member];
  PeerCall call(parts_.undertaking, parts_.links, owner.node_id, owner.tcp_address, request_.patience,
                until_);
  const Envelope envelope = EnvelopeFor(owner, call);
  const Bytes request = EncodeAverageRequest(envelope, combination.key, segment);
  const model::ByteRange bytes = model::FloatBytes(combination.model->layout(), segment);
  const std::span<std::uint8_t> into = combination.model->float_bytes().subspan(bytes.begin, bytes.size());
  while (true) {
    const bool asked = co_await call.Ask(request, bytes.size());
    if (!asked) co_return;
    const bool read = co_await call.Read(into);
    if (read) break;
  }
  model::RestoreLengths(*combination.model, segment);
  call.Finish();
}

}  // namespace msfl::collective
