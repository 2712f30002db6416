#include "collective/exchange.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "collective/combining.h"
#include "collective/offers.h"
#include "collective/peer_call.h"
#include "collective/undertaking.h"
#include "model/digest.h"
#include "net/peer_link.h"

namespace msfl::collective {

namespace {

using ModelResult = Result<std::shared_ptr<model::Model>>;

Error Invalid(std::string text) { return {Errc::kInvalidArgument, std::move(text)}; }

Error Stopping() { return {Errc::kStopping, "this Server is stopping"}; }

// The rank of this Server.
Result<std::size_t> CheckMembers(const CombineRequest& request, const std::string& node_id) {
  if (request.sum == nullptr || request.start_model == nullptr) return Invalid("nothing to combine");
  const std::vector<Member>& members = request.members;
  for (std::size_t i = 1; i < members.size(); ++i) {
    if (members[i - 1].node_id >= members[i].node_id)
      return Invalid("members to combine are not sorted by node id, or one is named twice");
  }
  const auto own = std::ranges::find(members, node_id, &Member::node_id);
  if (own == members.end()) return Invalid("this Server, '" + node_id + "', is no member to combine");
  return static_cast<std::size_t>(own - members.begin());
}

}  // namespace

struct Exchange::Impl {
  Impl(std::string fl_name, std::string node_id, std::shared_ptr<BufferPool> pool_)
      : offers(std::make_shared<Offers>(std::move(fl_name), std::move(node_id))), pool(std::move(pool_)) {}

  static Task<Result<Combined>> CountedCombine(std::shared_ptr<Impl> self, CombineRequest request);
  static Task<ModelResult> CountedFetch(std::shared_ptr<Impl> self, FetchRequest request);
  static Task<Result<Combined>> Combine(std::shared_ptr<Impl> self, CombineRequest request);
  static Task<Result<Combined>> TryCombine(std::shared_ptr<Impl> self, CombineRequest request,
                                           std::size_t rank);
  static Task<ModelResult> FetchModel(std::shared_ptr<Impl> self, FetchRequest request);
  static Task<ModelResult> TryFetchModel(std::shared_ptr<Impl> self, FetchRequest request);

  const std::shared_ptr<Offers> offers;
  const std::shared_ptr<net::PeerLinks> links = std::make_shared<net::PeerLinks>();
  const std::shared_ptr<BufferPool> pool;
  ExchangeStatistics statistics;
};

Task<Result<Combined>> Exchange::Impl::CountedCombine(std::shared_ptr<Impl> self, CombineRequest request) {
  const SteadyClock::time_point begun = SteadyClock::now();
  Result<Combined> combined = co_await Combine(self, std::move(request));
  std::optional<Errc> fault;
  if (!combined) fault = combined.error().code;
  self->statistics.NoteCombination(fault, SteadyClock::now() - begun);
  co_return combined;
}

Task<ModelResult> Exchange::Impl::CountedFetch(std::shared_ptr<Impl> self, FetchRequest request) {
  ModelResult fetched = co_await FetchModel(self, std::move(request));
  std::optional<Errc> fault;
  if (!fetched) fault = fetched.error().code;
  self->statistics.NoteFetch(fault);
  co_return fetched;
}

Task<Result<Combined>> Exchange::Impl::Combine(std::shared_ptr<Impl> self, CombineRequest request) {
  std::string fault;
  try {
    const Result<std::size_t> rank = CheckMembers(request, self->offers->node_id());
    if (!rank) co_return rank.error();
    co_return co_await TryCombine(self, std::move(request), *rank);
  } catch (const std::exception& e) {
    fault = e.what();
  }
  co_return Error{Errc::kOutOfMemory, "there may be no memory to combine models: " + fault};
}

Task<Result<Combined>> Exchange::Impl::TryCombine(std::shared_ptr<Impl> self, CombineRequest request,
                                                  std::size_t rank) {
  const std::uint64_t uploads = request.members[rank].uploads;
  if (!request.sum->Seal(uploads)) {
    co_return Error{Errc::kDisagreement, "the sum of this Server holds " +
                                             std::to_string(request.sum->uploads()) + " uploads, not " +
                                             std::to_string(uploads)};
  }
  const auto combination = std::make_shared<Combination>(
      request, rank, model::Model::Make(request.start_model->layout_ptr(), *self->pool));
  const Executor executor = co_await asio::this_coro::executor;
  const auto ask = [offers = self->offers, combination, stop = request.stop]() -> std::optional<Error> {
    if (offers->cancelled()) return Stopping();
    if (combination->left) return Error{Errc::kStopping, "this Server has left " + combination->key.Text()};
    if (stop && stop())
      return Error{Errc::kStopping, "the combination of " + combination->key.Text() + " was given up"};
    return std::nullopt;
  };
  const auto undertaking = std::make_shared<Undertaking>(executor, ask);
  self->offers->Begin(combination, request.sum);
  undertaking->Start();
  Combining::Parts parts;
  parts.offers = self->offers;
  parts.links = self->links;
  parts.pool = self->pool;
  parts.undertaking = undertaking;
  parts.combination = combination;
  Combining combining(std::move(parts), std::move(request));
  if (!undertaking->ended()) co_await combining.Run();
  if (undertaking->ended()) {
    self->offers->SetFailed(*combination, *undertaking->ended());
    co_return *undertaking->ended();
  }
  // Nothing is to be ended any more.
  undertaking->End(Stopping());
  co_return Combined{combination->model, combining.Digest()};
}

Task<ModelResult> Exchange::Impl::FetchModel(std::shared_ptr<Impl> self, FetchRequest request) {
  std::string fault;
  try {
    co_return co_await TryFetchModel(self, std::move(request));
  } catch (const std::exception& e) {
    fault = e.what();
  }
  co_return Error{Errc::kOutOfMemory, "there may be no memory to fetch a model: " + fault};
}

Task<ModelResult> Exchange::Impl::TryFetchModel(std::shared_ptr<Impl> self, FetchRequest request) {
  if (request.layout == nullptr) co_return Invalid("a model to fetch needs a layout");
  const auto model = model::Model::Make(request.layout, *self->pool);
  const Executor executor = co_await asio::this_coro::executor;
  const auto ask = [offers = self->offers, stop = request.stop]() -> std::optional<Error> {
    if (offers->cancelled() || (stop && stop())) return Stopping();
    return std::nullopt;
  };
  const auto undertaking = std::make_shared<Undertaking>(executor, ask);
  undertaking->Start();
  // One that breaks again and again, each time a little later, is not asked for ever.
  const SteadyClock::time_point until = SteadyClock::now() + 3 * request.patience +
                                        net::TimeOf(model->float_bytes().size(), net::kPeerMinimumRate);
  PeerCall call(undertaking, self->links, request.node_id, request.tcp_address, request.patience, until);
  Envelope envelope;
  envelope.fl_name = self->offers->fl_name();
  envelope.sender = self->offers->node_id();
  envelope.receiver = request.node_id;
  const Bytes frame = EncodeModelRequest(envelope, request.digest);
  const std::span<std::uint8_t> into = model->float_bytes();
  while (true) {
    const bool asked = co_await call.Ask(frame, into.size());
    if (!asked) co_return *undertaking->ended();
    const bool read = co_await call.Read(into);
    if (read) break;
  }
  call.Finish();
  model->RestoreLengths();
  const std::string digest = model::Digest(*model);
  if (digest != request.digest) {
    call.Fail(Errc::kDisagreement,
              "sent a model '" + digest + "' where '" + request.digest + "' was asked for");
    co_return *undertaking->ended();
  }
  co_return model;
}

Exchange::Exchange(std::string fl_name, std::string node_id, std::shared_ptr<BufferPool> pool)
    : impl_(std::make_shared<Impl>(std::move(fl_name), std::move(node_id), std::move(pool))) {}

Exchange::~Exchange() { Cancel(); }

Task<Result<Combined>> Exchange::Combine(CombineRequest request) {
  return Impl::CountedCombine(impl_, std::move(request));
}

Task<ModelResult> Exchange::FetchModel(FetchRequest request) {
  return Impl::CountedFetch(impl_, std::move(request));
}

void Exchange::Leave(std::string_view instance, std::uint64_t iteration) {
  impl_->offers->Leave(instance, iteration);
}

void Exchange::GoBack(std::string_view instance, std::uint64_t iteration) {
  impl_->offers->GoBack(instance, iteration);
}

void Exchange::SetModelSource(ModelSource source) { impl_->offers->SetModelSource(std::move(source)); }

void Exchange::Cancel() {
  impl_->offers->Cancel();
  impl_->links->Close();
}

net::PeerHandler Exchange::Handler() {
  net::PeerHandler handler;
  handler.answer = [offers = impl_->offers](std::span<const std::uint8_t> head) {
    return Offers::Answer(offers, head);
  };
  handler.recognises = [offers = impl_->offers](std::span<const std::uint8_t> head) {
    return offers->IsAsked(head);
  };
  return handler;
}

const ExchangeStatistics& Exchange::statistics() const { return impl_->statistics; }

const net::PeerTraffic& Exchange::traffic() const { return impl_->links->traffic(); }

}  // namespace msfl::collective
