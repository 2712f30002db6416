// updateModel: a device brings its trained weights (rounds.md, 4.2; wire.md, 6.2).
//
// verify -> reserve a place (one script) -> add into the running sum -> commit (one script) -> answer. A
// place is reserved before the sum is touched, so the sum holds nothing that isn't counted; it is counted
// after the sum, so when the last one is counted the sum is complete. A device that has lost the answer may
// send the same update again, to any Server: it is accepted, and counts once.
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/clock.h"
#include "base/log.h"
#include "base/lost_coroutine.h"
#include "rounds/evaluation_vector.h"
#include "rounds/fl_id.h"
#include "rounds/repeated_update.h"
#include "rounds/round_context.h"
#include "rounds/update_content.h"

namespace msfl::rounds {
namespace {

using Ending = Outcome::Ending;

constexpr std::int64_t kMinuteMs = 60'000;

// An update waits so long while the sum that it belongs to is given to another Server.
constexpr std::chrono::seconds kCopyPatience(10);

std::vector<std::uint8_t> MakeAnswer(std::int32_t retcode, const std::string& reason,
                                     const std::string& next_req_time) {
  flatbuffers::FlatBufferBuilder builder(256);
  const auto reason_text = builder.CreateString(reason);
  const auto time_text = builder.CreateString(next_req_time);
  builder.Finish(schema::CreateResponseUpdateModel(builder, retcode, reason_text, 0, time_text));
  return Bytes(builder);
}

Outcome RefuseForGood(job::Iteration& iteration, const std::string& reason) {
  iteration.visits.update_model.Count(false);
  net::HttpReply reply;
  reply.head = MakeAnswer(kRequestError, reason, "");
  return {Ending::kRejected, std::move(reply)};
}

Outcome RefuseForNow(job::Iteration& iteration, std::string_view fl_id, std::int32_t retcode,
                     const std::string& reason, const std::string& next_req_time) {
  iteration.visits.update_model.Count(false);
  net::HttpReply reply;
  reply.head = MakeAnswer(retcode, reason, next_req_time);
  return {Ending::kRejected, std::move(reply), ToldToReturn{HashDevice(fl_id)}};
}

Outcome RefuseForNow(job::Iteration& iteration, std::string_view fl_id, std::int32_t retcode,
                     const std::string& reason) {
  return RefuseForNow(iteration, fl_id, retcode, reason, TimeText(iteration.FutureRequestTime()));
}

Outcome RefuseByThreshold(RoundContext& context, job::Iteration& iteration, std::string_view fl_id) {
  iteration.visits.update_model.Count(false);
  const std::int64_t time = iteration.FutureRequestTime();
  net::HttpReply reply;
  reply.head = context.update_refused.Get(iteration.key(), time, [&] {
    return MakeAnswer(kOutOfTime, "Current amount for updateModel is enough. Please retry later.",
                      TimeText(time));
  });
  return {Ending::kRejected, std::move(reply), ToldToReturn{HashDevice(fl_id)}};
}

Outcome RefuseContent(job::Iteration& iteration, const UploadContent& content, const std::string& fl_id) {
  if (!content.missing_feature.empty()) {
    return RefuseForNow(
        iteration, fl_id, kRequestError,
        "The updated weight of parameter " + content.missing_feature + " is missing, fl id: " + fl_id);
  }
  const std::string time = TimeText(iteration.FutureRequestTime());
  return RefuseForNow(iteration, fl_id, kRequestError,
                      "Verify model feature map failed, retry later at time: " + time, time);
}

void NoteParticipation(const ServerOptions& options, job::Iteration& iteration, std::int64_t took_ms) {
  const auto below = [took_ms](std::uint64_t minutes) {
    return took_ms < static_cast<std::int64_t>(minutes) * kMinuteMs;
  };
  if (below(options.participation_time_level1)) ++iteration.visits.participation_level1;
  if (below(options.participation_time_level2)) ++iteration.visits.participation_level2;
  ++iteration.visits.participation_level3;
}

Task<Result<cache::ReserveAnswer>> Reserve(RoundContext& context, const cache::ReserveRequest& request,
                                           const cache::Node& node) {
  const SteadyClock::time_point asked_first = SteadyClock::now();
  while (true) {
    Result<cache::ReserveAnswer> answer = co_await context.store.Reserve(request, node);
    if (answer) co_return answer;
    const bool again =
        co_await context.MayAskAgain(asked_first, request.iteration, request.fl_id, request.nonce);
    if (!again) co_return answer;
  }
}

// In steps: between them the loop serves its other connections. Nothing if the sum is sealed, since the place
// was given away meanwhile or this Server leaves.
Task<std::optional<model::UploadDigest>> Add(model::RunningSum& sum,
                                             std::span<const model::Contribution> upload,
                                             std::uint64_t data_size) {
  model::RunningSum::Addition addition(sum, upload, data_size);
  while (!addition.Step()) {
    const Executor executor = co_await asio::this_coro::executor;
    co_await asio::post(executor, kAwait);
  }
  std::optional<model::UploadDigest> digest;
  if (!addition.late()) digest = addition.digest();
  co_return digest;
}

Outcome Accept(job::Iteration& iteration) {
  net::HttpReply reply;
  reply.head = MakeAnswer(kSucceed, "success not ready", TimeText(iteration.NextRequestTime()));
  return {Ending::kAccepted, std::move(reply)};
}

// The answer to an update that was counted before; nothing if it wasn't.
Task<std::optional<Outcome>> AcceptAgain(RoundContext& context, const schema::RequestUpdateModel& message,
                                         const UploadContent& content, std::string_view evaluation,
                                         job::Iteration& iteration) {
  const Result<bool> counted = co_await WasCounted(context, message, content, evaluation, iteration);
  std::optional<Outcome> answer;
  if (!counted) {
    answer = SafemodeOutcome();
  } else if (*counted) {
    answer = Accept(iteration);
  }
  co_return answer;
}

// Verdicts that an update which comes again may meet.
bool MayBeCounted(cache::ReserveVerdict verdict) {
  using Verdict = cache::ReserveVerdict;
  return verdict == Verdict::kThresholdReached || verdict == Verdict::kNotJoined ||
         verdict == Verdict::kWrongIteration || verdict == Verdict::kAlreadyUpdated;
}

// The sum holds the update already, so the count is asked for until the cache answers: an update that is
// summed but not counted would stay in the model of an iteration that goes on without it.
Task<Result<cache::CommitAnswer>> Commit(RoundContext& context, const cache::IterationKey& key,
                                         std::string_view fl_id, const std::string& nonce,
                                         const cache::Node& node, const std::string& digest) {
  while (true) {
    Result<cache::CommitAnswer> answer = co_await context.store.Commit(key, fl_id, nonce, node, digest);
    if (answer || context.job.stopping()) co_return answer;
    co_await Pause(std::chrono::milliseconds(100));
  }
}

// From when it is in the sum until it is counted, or never will be.
class Settled {
 public:
  Settled(recovery::Ledger& ledger, std::uint64_t sequence) : ledger_(ledger), sequence_(sequence) {}
  Settled(const Settled&) = delete;
  Settled& operator=(const Settled&) = delete;
  ~Settled() { ledger_.Settle(sequence_); }

 private:
  recovery::Ledger& ledger_;
  const std::uint64_t sequence_;
};

// The vectors of an iteration are there when its record is made: from before its update is counted until it
// is pushed, or lost for good, the iteration knows of it.
class Evaluation {
 public:
  Evaluation(RoundContext& context, job::Iteration& iteration, std::string vector)
      : context_(context), iteration_(iteration), vector_(std::move(vector)) {
    if (!vector_.empty()) ++iteration_.evaluations_under_way;
  }
  Evaluation(const Evaluation&) = delete;
  Evaluation& operator=(const Evaluation&) = delete;
  ~Evaluation() {
    if (!vector_.empty() && --iteration_.evaluations_under_way == 0) context_.job.NoteMoved();
  }

  bool empty() const { return vector_.empty(); }
  // The update is counted, so it is accepted whatever becomes of this.
  Task<> Push(std::string_view fl_id, std::string_view nonce) {
    const Result<void> pushed = co_await context_.store.PushEvaluation(
        iteration_.key().instance, vector_, nonce, context_.options.evaluation_items);
    if (!pushed) {
      MSFL_LOG(kWarning, "evaluation items are lost: fl_id=" << fl_id << " error=" << pushed.error().text);
    }
  }

 private:
  RoundContext& context_;
  job::Iteration& iteration_;
  std::string vector_;
};

}  // namespace

Task<Outcome> UpdateModel(RoundContext& context, const net::HttpRequest& request, job::Iteration& iteration) {
  const auto* message = VerifiedRoot<schema::RequestUpdateModel>(request);
  if (message == nullptr) {
    co_return RefuseForGood(iteration, "The schema of RequestUpdateModel is invalid.");
  }
  if (!HasMandatoryFields(*message, request)) {
    co_return RefuseForGood(iteration, "Verify flatbuffers schema failed for RequestUpdateModel.");
  }
  const std::string fault = FaultOfFlId(message->fl_id()->string_view(), context.options.limits.fl_id_bytes);
  if (!fault.empty()) co_return RefuseForGood(iteration, fault);
  // One of another iteration may have begun at a Server that is further than this one: then the cache has the
  // word, and the update waits for the switch here.
  const bool of_this = message->iteration() == static_cast<std::int64_t>(iteration.number());
  const UploadContent content = JudgeContent(*message, request, iteration.start_model()->layout(),
                                             context.options.round.require_all_features);
  std::string vector;
  if (context.options.evaluation_items > 0) vector = EvaluationVector(*message);
  if (iteration.update_model_full && of_this) {
    std::optional<Outcome> again = co_await AcceptAgain(context, *message, content, vector, iteration);
    if (again) co_return std::move(*again);
    co_return RefuseByThreshold(context, iteration, message->fl_id()->string_view());
  }

  if (iteration.superseded) co_return SafemodeOutcome();
  const std::string nonce = context.NewNonce();
  const std::shared_ptr<const cache::Node> node = context.job.node();
  cache::ReserveRequest reserve;
  reserve.iteration = iteration.key();
  reserve.claimed_iteration = message->iteration();
  reserve.fl_id = message->fl_id()->string_view();
  reserve.nonce = nonce;
  reserve.content_accepted = content.accepted;
  const Result<cache::ReserveAnswer> reserved = co_await Reserve(context, reserve, *node);
  if (!reserved) {
    MSFL_LOG(kWarning, "updateModel without the cache: " << reserved.error().text);
    co_return SafemodeOutcome();
  }
  const std::string fl_id = message->fl_id()->str();
  if (MayBeCounted(reserved->verdict)) {
    std::optional<Outcome> again = co_await AcceptAgain(context, *message, content, vector, iteration);
    if (again) co_return std::move(*again);
  }
  switch (reserved->verdict) {
    case cache::ReserveVerdict::kMoved:
      co_return Outcome::Moved();
    case cache::ReserveVerdict::kThresholdReached:
      co_return RefuseByThreshold(context, iteration, fl_id);
    case cache::ReserveVerdict::kNotJoined:
      co_return RefuseForNow(iteration, fl_id, kOutOfTime,
                             "devices_meta for " + fl_id + " is not set. Please retry later.");
    case cache::ReserveVerdict::kWrongIteration:
      co_return RefuseForNow(
          iteration, fl_id, kOutOfTime,
          "UpdateModel iteration number is invalid:" + std::to_string(message->iteration()) +
              ", current iteration:" + std::to_string(iteration.number()) +
              ", Retry later at time: " + TimeText(iteration.FutureRequestTime()) + ", fl id is " + fl_id);
    case cache::ReserveVerdict::kContentRefused:
      co_return RefuseContent(iteration, content, fl_id);
    case cache::ReserveVerdict::kAlreadyUpdated:
      co_return RefuseForNow(iteration, fl_id, kOutOfTime,
                             "Updating metadata of UpdateModelClientList failed for fl id " + fl_id);
    case cache::ReserveVerdict::kReserved:
      break;
  }
  if (reserved->first && reserved->deadline_in_ms) context.job.NoteDeadline(*reserved->deadline_in_ms);

  // All that the end of the iteration reads stands before the count that may bring it about.
  recovery::Ledger& ledger = iteration.part->ledger;
  recovery::Update update;
  bool added = co_await ledger.BeginAdding(SteadyClock::now() + kCopyPatience);
  if (added) {
    LostCoroutine spoilt([&] {  // out of memory: the sum may hold a part
      ledger.AbandonAdding();
      context.job.NoteSpoilt(iteration);
    });
    const std::optional<model::UploadDigest> weights =
        co_await Add(iteration.sum, content.contributions, reserved->data_size);
    added = weights.has_value();
    if (added) {
      update.id = cache::HeldUpdate{fl_id, nonce, UpdateDigest(*weights, *message, vector)};
      iteration.AddMetrics(message->upload_loss(), reserved->data_size, message->upload_accuracy(),
                           reserved->eval_data_size);
      update.sequence = ledger.Added(update.id);
    } else {
      ledger.AbandonAdding();
    }
    spoilt.Ended();
  }
  if (!added) {
    static_cast<void>(co_await context.store.Withdraw(iteration.key(), fl_id, nonce));
    co_return SafemodeOutcome();
  }
  const Settled settled(ledger, update.sequence);
  update.data_size = reserved->data_size;
  update.eval_data_size = reserved->eval_data_size;
  update.loss = message->upload_loss();
  update.accuracy = message->upload_accuracy();
  update.values = content.contributions;
  LostCoroutine spoilt([&] { context.job.NoteSpoilt(iteration); });
  const bool held = co_await context.job.Hold(iteration, update);
  spoilt.Ended();
  if (!held) {  // what is in the sum must not be counted without the others
    context.job.NoteSpoilt(iteration);
    co_return SafemodeOutcome();
  }
  NoteParticipation(context.options, iteration, reserved->now_ms - reserved->joined_ms);
  iteration.visits.update_model.Count(true);
  Evaluation evaluation(context, iteration, std::move(vector));
  const Result<cache::CommitAnswer> committed = co_await Commit(
      context, iteration.key(), message->fl_id()->string_view(), nonce, *node, update.id.digest);
  if (!committed || committed->verdict != cache::CommitVerdict::kCounted) {
    iteration.visits.update_model.Uncount(true);
    if (!committed) co_return SafemodeOutcome();
    if (committed->verdict == cache::CommitVerdict::kMoved) co_return Outcome::Moved();
    // Fenced: this Server was taken for dead and the place was given away.
    context.job.NoteSpoilt(iteration);
    co_return SafemodeOutcome();
  }
  if (committed->last) {
    iteration.update_model_full = true;
    context.job.NoteMoved();
  }
  if (!evaluation.empty()) co_await evaluation.Push(message->fl_id()->string_view(), nonce);
  co_return Accept(iteration);
}

}  // namespace msfl::rounds
