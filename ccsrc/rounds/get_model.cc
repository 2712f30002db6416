// getModel and getResult: the model of an iteration, or only whether it is there (rounds.md, 4.3 and 7;
// wire.md, 6.3); exportModel: the newest one, whole. Anybody may ask; nothing is asked of the cache.
#include "model/answer_head.h"
#include "rounds/round_context.h"
#include "rounds/wire_format.h"

namespace msfl::rounds {
namespace {

struct Verdict {
  std::int32_t retcode = kSucceed;
  std::string reason, timestamp;
};

using Ending = Outcome::Ending;

template <class Request>
bool IsRunning(const Request& message, const job::Iteration& iteration) {
  return message.iteration() >= 0 && static_cast<std::uint64_t>(message.iteration()) == iteration.number() &&
         iteration.IsAwaited();
}

// `what` is "Model" or "Result".
template <class Request>
Verdict Judge(const Request* message, const job::Iteration& iteration, const std::string& what) {
  Verdict verdict;
  if (message == nullptr) {
    verdict.retcode = kRequestError;
    verdict.reason = "The schema of RequestGet" + what + " is invalid.";
    return verdict;
  }
  verdict.timestamp = TimeText(iteration.NextRequestTime());
  const std::string asked = std::to_string(message->iteration());
  if (IsRunning(*message, iteration)) {
    verdict.retcode = kNotReady;
    verdict.reason =
        "The model is not ready yet for iteration " + asked +
        ". Maybe this is because\n1. Client doesn't not send enough update model request.\n2. Worker has "
        "not push weights to server.";
  } else {
    verdict.reason = (what == "Model" ? "Get model for iteration " : "Get result for iteration ") + asked;
  }
  return verdict;
}

Ending EndingOf(const Verdict& verdict) {
  return verdict.retcode == kSucceed ? Ending::kAccepted : Ending::kRejected;
}

net::HttpReply ModelReply(const Verdict& verdict, std::uint64_t number,
                          std::shared_ptr<const model::Model> model, bool only_aggregated) {
  flatbuffers::FlatBufferBuilder builder(512);
  const auto reason = builder.CreateString(verdict.reason);
  const auto timestamp = builder.CreateString(verdict.timestamp);
  schema::ResponseGetModelBuilder response(builder);
  response.add_retcode(verdict.retcode);
  response.add_reason(reason);
  response.add_iteration(static_cast<std::int32_t>(number));
  response.add_timestamp(timestamp);
  net::HttpReply reply;
  if (model == nullptr) {
    builder.Finish(response.Finish());
    reply.head = Bytes(builder);
    return reply;
  }
  model::MarkTail(builder, schema::ResponseGetModel::VT_FEATURE_MAP);
  builder.Finish(response.Finish());
  const model::Model::Tail tail = model->tail(only_aggregated);
  reply.head = model::SealHead(builder, schema::ResponseGetModel::VT_FEATURE_MAP, tail);
  reply.tail = tail.bytes;
  reply.withdrawn = &model->withdrawn();
  reply.tail_owner = std::move(model);
  return reply;
}

}  // namespace

bool AsksForRunning(Round round, const net::HttpRequest& request, const job::Iteration& iteration) {
  if (round == &GetModel) {
    const auto* message = VerifiedRoot<schema::RequestGetModel>(request);
    return message != nullptr && IsRunning(*message, iteration);
  }
  if (round == &GetResult) {
    const auto* message = VerifiedRoot<schema::RequestGetResult>(request);
    return message != nullptr && IsRunning(*message, iteration);
  }
  return false;
}

Task<Outcome> GetModel(RoundContext& context, const net::HttpRequest& request, job::Iteration& iteration) {
  const auto* message = VerifiedRoot<schema::RequestGetModel>(request);
  const Verdict verdict = Judge(message, iteration, "Model");
  const Ending ending = EndingOf(verdict);
  iteration.visits.get_model.Count(ending == Ending::kAccepted);
  std::shared_ptr<const model::Model> model;
  if (ending == Ending::kAccepted) model = context.job.history().FindOrLatest(message->iteration()).model;
  co_return Outcome(ending, ModelReply(verdict, iteration.number(), std::move(model), true));
}

Task<Outcome> GetResult(RoundContext&, const net::HttpRequest& request, job::Iteration& iteration) {
  const Verdict verdict = Judge(VerifiedRoot<schema::RequestGetResult>(request), iteration, "Result");
  const Ending ending = EndingOf(verdict);
  iteration.visits.get_result.Count(ending == Ending::kAccepted);
  flatbuffers::FlatBufferBuilder builder(512);
  const auto reason = builder.CreateString(verdict.reason);
  const auto timestamp = builder.CreateString(verdict.timestamp);
  builder.Finish(schema::CreateResponseGetResult(builder, verdict.retcode, reason,
                                                 static_cast<std::int32_t>(iteration.number()), timestamp));
  net::HttpReply reply;
  reply.head = Bytes(builder);
  co_return Outcome(ending, std::move(reply));
}

net::HttpReply ExportModel(const job::Iteration& iteration) {
  const std::uint64_t number = iteration.number() - 1;
  Verdict verdict;
  verdict.reason = "Get model for iteration " + std::to_string(number);
  verdict.timestamp = TimeText(iteration.NextRequestTime());
  return ModelReply(verdict, number, iteration.start_model(), false);
}

}  // namespace msfl::rounds
