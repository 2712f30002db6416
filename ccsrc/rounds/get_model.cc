// getModel and getResult: the model of an iteration, or only whether it is there (rounds.md, 4.3 and 7;
// wire.md, 6.3). Anybody may ask; nothing is asked of the cache.
#include "model/answer_head.h"
#include "rounds/round_context.h"
#include "rounds/wire_format.h"

namespace msfl::rounds {
namespace {

struct Verdict {
  std::int32_t retcode = kSucceed;
  std::string reason, timestamp;
};

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
  if (message->iteration() >= 0 && static_cast<std::uint64_t>(message->iteration()) == iteration.number()) {
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

}  // namespace

Task<Outcome> GetModel(RoundContext& context, const net::HttpRequest& request, job::Iteration& iteration) {
  const auto* message = VerifiedRoot<schema::RequestGetModel>(request);
  const Verdict verdict = Judge(message, iteration, "Model");
  iteration.visits.get_model.Count(verdict.retcode == kSucceed);

  flatbuffers::FlatBufferBuilder builder(512);
  const auto reason = builder.CreateString(verdict.reason);
  const auto timestamp = builder.CreateString(verdict.timestamp);
  schema::ResponseGetModelBuilder response(builder);
  response.add_retcode(verdict.retcode);
  response.add_reason(reason);
  response.add_iteration(static_cast<std::int32_t>(iteration.number()));
  response.add_timestamp(timestamp);
  net::HttpReply reply;
  if (verdict.retcode != kSucceed) {
    builder.Finish(response.Finish());
    reply.head = Bytes(builder);
    co_return reply;
  }
  model::MarkTail(builder, schema::ResponseGetModel::VT_FEATURE_MAP);
  builder.Finish(response.Finish());
  const std::shared_ptr<const model::Model> model =
      context.job.history().FindOrLatest(message->iteration()).model;
  const model::Model::Tail tail = model->tail(true);
  reply.head = model::SealHead(builder, schema::ResponseGetModel::VT_FEATURE_MAP, tail);
  reply.tail = tail.bytes;
  reply.tail_owner = model;
  co_return reply;
}

Task<Outcome> GetResult(RoundContext&, const net::HttpRequest& request, job::Iteration& iteration) {
  const Verdict verdict = Judge(VerifiedRoot<schema::RequestGetResult>(request), iteration, "Result");
  iteration.visits.get_result.Count(verdict.retcode == kSucceed);
  flatbuffers::FlatBufferBuilder builder(512);
  const auto reason = builder.CreateString(verdict.reason);
  const auto timestamp = builder.CreateString(verdict.timestamp);
  builder.Finish(schema::CreateResponseGetResult(builder, verdict.retcode, reason,
                                                 static_cast<std::int32_t>(iteration.number()), timestamp));
  net::HttpReply reply;
  reply.head = Bytes(builder);
  co_return reply;
}

}  // namespace msfl::rounds
