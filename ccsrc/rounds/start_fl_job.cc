// startFLJob: a device asks to take part in the current iteration and gets the model and the plan
// (rounds.md, 4.1; wire.md, 6.1).
#include "base/clock.h"
#include "base/log.h"
#include "model/answer_head.h"
#include "rounds/fl_id.h"
#include "rounds/plain_text.h"
#include "rounds/round_context.h"
#include "rounds/wire_format.h"

namespace msfl::rounds {
namespace {

using Ending = Outcome::Ending;

constexpr std::int32_t kMaxDataSize = 65535;

constexpr char kThresholdReason[] =
    "Current amount for startFLJob has reached the threshold. Please startFLJob later.";

flatbuffers::Offset<schema::FLPlan> MakePlan(flatbuffers::FlatBufferBuilder& builder,
                                             const ServerOptions& options, const job::Rules& rules) {
  // Devices read the sub-tables in every answer, also in refusals, whatever the encryption.
  const std::vector<std::uint8_t> no_p(32, 0), no_prime(33, 0);
  const auto p = builder.CreateVector(no_p);
  const auto prime = builder.CreateVector(no_prime);
  const auto pw = schema::CreatePWParams(builder, options.reconstruct_secrets_threshold, p, 1, prime);
  const auto dp = schema::CreateDPParams(builder, options.dp_eps, options.dp_delta, options.dp_norm_clip);
  const auto ds = schema::CreateDSParams(builder, options.sign_k, options.sign_eps, options.sign_thr_ratio,
                                         options.sign_global_lr, options.sign_dim_out);
  const auto encrypt_type = builder.CreateString(options.encrypt_type);
  const auto cipher =
      schema::CreateCipherPublicParams(builder, encrypt_type, pw, dp, ds, options.laplace_eval_eps);
  const auto mode = builder.CreateString(options.server_mode);
  const auto name = builder.CreateString(options.fl_name);
  schema::FLPlanBuilder plan(builder);
  plan.add_server_mode(mode);
  plan.add_fl_name(name);
  plan.add_iterations(static_cast<std::int32_t>(rules.iterations));
  plan.add_epochs(rules.plan.epochs);
  plan.add_mini_batch(rules.plan.batch_size);
  plan.add_lr(rules.plan.learning_rate);
  plan.add_cipher(cipher);
  return plan.Finish();
}

// Whether devices shall send evaluation items, and how they protect them.
std::string EvaluationFlag(const ServerOptions& options) {
  if (options.evaluation_items == 0) return "NOT_EVAL";
  const auto privacy = options.hyper_parameters.find("privacy_eval_type");
  return privacy == options.hyper_parameters.end() ? "NOT_ENCRYPT" : privacy->second;
}

// The whole answer, or its head when `model` is given.
std::vector<std::uint8_t> MakeAnswer(RoundContext& context, const job::Iteration& iteration,
                                     std::int32_t retcode, const std::string& reason,
                                     const std::string& next_req_time, const model::Model* model) {
  flatbuffers::FlatBufferBuilder builder(1024);
  const auto plan = MakePlan(builder, context.options, iteration.rules());
  const auto reason_text = builder.CreateString(reason);
  const auto time_text = builder.CreateString(next_req_time);
  const auto evaluation = builder.CreateString(EvaluationFlag(context.options));
  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<schema::FeatureMap>>> no_features;
  if (model == nullptr) {
    no_features = builder.CreateVector(std::vector<flatbuffers::Offset<schema::FeatureMap>>());
  }
  schema::ResponseFLJobBuilder response(builder);
  response.add_retcode(retcode);
  response.add_reason(reason_text);
  response.add_iteration(static_cast<std::int32_t>(iteration.number()));
  response.add_is_selected(model != nullptr);
  response.add_next_req_time(time_text);
  response.add_fl_plan_config(plan);
  response.add_upload_sparse_rate(context.options.upload_sparse_rate);
  response.add_unsupervised_eval_flg(evaluation);
  if (model != nullptr) {
    model::MarkTail(builder, schema::ResponseFLJob::VT_FEATURE_MAP);
  } else {
    response.add_feature_map(no_features);
  }
  builder.Finish(response.Finish());
  if (model == nullptr) return Bytes(builder);
  return model::SealHead(builder, schema::ResponseFLJob::VT_FEATURE_MAP, model->tail(false));
}

Outcome RefuseForGood(RoundContext& context, job::Iteration& iteration, const std::string& reason) {
  iteration.visits.start_fl_job.Count(false);
  net::HttpReply reply;
  reply.head = MakeAnswer(context, iteration, kRequestError, reason, "", nullptr);
  return {Ending::kRejected, std::move(reply)};
}

Outcome RefuseForNow(RoundContext& context, job::Iteration& iteration, std::optional<ToldToReturn> told,
                     const std::string& reason) {
  iteration.visits.start_fl_job.Count(false);
  net::HttpReply reply;
  reply.head =
      MakeAnswer(context, iteration, kOutOfTime, reason, TimeText(iteration.FutureRequestTime()), nullptr);
  return {Ending::kRejected, std::move(reply), told};
}

Outcome RefuseByThreshold(RoundContext& context, job::Iteration& iteration, const ToldToReturn& told) {
  iteration.visits.start_fl_job.Count(false);
  const std::int64_t time = iteration.FutureRequestTime();
  net::HttpReply reply;
  reply.head = context.start_refused.Get(iteration.key(), time, [&] {
    return MakeAnswer(context, iteration, kOutOfTime, kThresholdReason, TimeText(time), nullptr);
  });
  return {Ending::kRejected, std::move(reply), told};
}

Outcome Accept(RoundContext& context, job::Iteration& iteration) {
  iteration.visits.start_fl_job.Count(true);
  const std::int64_t time = iteration.NextRequestTime();
  const std::shared_ptr<const model::Model>& model = iteration.start_model();
  net::HttpReply reply;
  reply.head = context.start_accepted.Get(iteration.key(), time, [&] {
    return MakeAnswer(context, iteration, kSucceed, "success", TimeText(time), model.get());
  });
  reply.tail = model->tail(false).bytes;
  reply.tail_owner = model;
  reply.withdrawn = &model->withdrawn();
  return {Ending::kAccepted, std::move(reply)};
}

Task<Result<cache::JoinAnswer>> Join(RoundContext& context, const cache::JoinRequest& request) {
  const SteadyClock::time_point asked_first = SteadyClock::now();
  while (true) {
    Result<cache::JoinAnswer> answer = co_await context.store.Join(request);
    if (answer) co_return answer;
    const bool again =
        co_await context.MayAskAgain(asked_first, request.iteration, request.fl_id, request.nonce);
    if (!again) co_return answer;
  }
}

}  // namespace

Task<Outcome> StartFlJob(RoundContext& context, const net::HttpRequest& request, job::Iteration& iteration) {
  const auto* message = VerifiedRoot<schema::RequestFLJob>(request);
  if (message == nullptr) {
    co_return RefuseForGood(context, iteration, "The schema of RequestFLJob is invalid.");
  }
  if (message->fl_id() == nullptr || message->fl_name() == nullptr || message->timestamp() == nullptr) {
    iteration.visits.start_fl_job.Count(false);
    co_return Outcome(Ending::kRejected, PlainText(kStartFieldsText));
  }
  const std::string fault = FaultOfFlId(message->fl_id()->string_view(), context.options.limits.fl_id_bytes);
  if (!fault.empty()) co_return RefuseForGood(context, iteration, fault);
  const ToldToReturn told{HashDevice(message->fl_id()->string_view()), message->iteration()};
  if (iteration.start_fl_job_full && !iteration.some_start_again) {
    co_return RefuseByThreshold(context, iteration, told);
  }

  const std::int32_t data_size = message->data_size();
  const bool too_small = data_size >= 0 && data_size < 1;
  const bool too_large = data_size < 0 || data_size > kMaxDataSize;
  const std::string nonce = context.NewNonce();
  cache::JoinRequest join;
  join.iteration = iteration.key();
  join.fl_id = message->fl_id()->string_view();
  join.data_size = static_cast<std::uint64_t>(data_size);
  join.eval_data_size = static_cast<std::uint64_t>(std::max(0, message->eval_data_size()));
  join.nonce = nonce;
  join.content_accepted = !too_small && !too_large;
  const Result<cache::JoinAnswer> joined = co_await Join(context, join);
  if (!joined) {
    MSFL_LOG(kWarning, "startFLJob without the cache: " << joined.error().text);
    co_return SafemodeOutcome();
  }
  switch (joined->verdict) {
    case cache::JoinVerdict::kMoved:
      co_return Outcome::Moved();
    case cache::JoinVerdict::kThresholdReached:
      co_return RefuseByThreshold(context, iteration, told);
    case cache::JoinVerdict::kContentRefused:
      // Nothing to wait for: the next iteration would refuse it as well.
      co_return RefuseForNow(
          context, iteration, std::nullopt,
          too_small ? "FL job data size is not enough." : "FL job data size is too large.");
    case cache::JoinVerdict::kAlreadyJoined:
      co_return RefuseForNow(context, iteration, told,
                             "Updating device metadata failed for fl id " + message->fl_id()->str());
    case cache::JoinVerdict::kAccepted:
      break;
  }
  iteration.NoteBegin();
  if (joined->last) iteration.start_fl_job_full = true;
  if (joined->first && joined->deadline_in_ms) context.job.NoteDeadline(*joined->deadline_in_ms);
  co_return Accept(context, iteration);
}

}  // namespace msfl::rounds
