#include "rounds/overloaded.h"

#include <utility>

#include "base/clock.h"
#include "rounds/partial_message.h"
#include "rounds/plain_text.h"
#include "rounds/wire_format.h"

namespace msfl::rounds {
namespace {

using Ending = Outcome::Ending;

// What a device loses by this answer it gets back when it starts again, if it can be made out who it is.
Task<> LetReturn(RoundContext& context, Round round, const net::OverloadedRequest& request,
                 job::Iteration& iteration) {
  const PartialMessage message = PartialMessage::Of(request);
  const std::size_t most = context.options.limits.fl_id_bytes;
  std::optional<std::string> fl_id;
  Sender sender;
  if (round == &StartFlJob) {
    fl_id = PeekString(message, schema::RequestFLJob::VT_FL_ID, most);
  } else if (round == &UpdateModel) {
    fl_id = PeekString(message, schema::RequestUpdateModel::VT_FL_ID, most);
    sender.uploads = true;
    sender.claimed = PeekInt(message, schema::RequestUpdateModel::VT_ITERATION).value_or(0);
  }
  if (!fl_id) co_return;
  sender.fl_id = *fl_id;
  co_await NoteSafemode(context, iteration, sender, false);
}

}  // namespace

net::OverloadedHandler MakeOverloadedHandler(RoundContext& context, Round round, RoundName name) {
  return [&context, round, name](const net::OverloadedRequest& request) -> Task<net::HttpReply> {
    const SteadyClock::time_point began = SteadyClock::now();
    const job::Gate::View view = context.job.gate().Look();
    const bool models_only = round == &GetModel || round == &GetResult;
    const bool over =
        view.service == job::Service::kDisabled || (view.service == job::Service::kFinished && !models_only);
    if (!over && view.iteration != nullptr) co_await LetReturn(context, round, request, *view.iteration);
    const Ending ending = over ? Ending::kDisabled : Ending::kSafemode;
    net::HttpReply reply = PlainText(over ? kDisabledText : kSafemodeText);
    context.statistics.Note(name, ending, SteadyClock::now() - began, request.body_bytes, reply.head.size());
    co_return reply;
  };
}

}  // namespace msfl::rounds
