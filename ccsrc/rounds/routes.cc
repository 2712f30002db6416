#include "rounds/routes.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "rounds/overloaded.h"
#include "rounds/plain_text.h"
#include "rounds/wire_format.h"

namespace msfl::rounds {
namespace {

using Ending = RoundStatistics::Ending;

// A switch takes milliseconds, but a slow disk may hold it up; devices wait 90 s for an answer.
constexpr std::chrono::milliseconds kSwitchPatience(10'000);
// How often a request may find its iteration over; more means that iterations end faster than a request is
// served.
constexpr int kMoves = 5;
// How long a device that must not be refused again waits at most; its own time-out is 90 s.
constexpr std::chrono::seconds kReturnPatience(75);
// A device sleeps by its own clock and in whole milliseconds, so it may come back a little early.
constexpr std::int64_t kEarlyMs = 500;

// A body that waits for a switch, or for its turn, keeps its memory.
constexpr std::uint64_t kMessageBytes = 1 << 20;

struct Route {
  const char* path;
  RoundName name;
  Round round;
  bool serves_models_only;
};

// The text that refuses the request before its round sees it; empty if nothing does.
std::string_view Refusal(const RoundContext& context, const job::Gate::View& view, const Route& route) {
  switch (view.service) {
    case job::Service::kStopping:
      return context.options.as_release_0_2 ? kDisabledText : kSafemodeText;
    case job::Service::kFinished:
      if (!route.serves_models_only) return kDisabledText;
      break;
    case job::Service::kDisabled:
      return kDisabledText;
    case job::Service::kSafemode:
      if (!route.serves_models_only) return kSafemodeText;
      break;
    case job::Service::kServing:
      break;
  }
  return view.switching || view.iteration == nullptr ? kSafemodeText : std::string_view();
}

// Empty if as many requests wait as may.
net::AddressShares::Hold TakeWait(RoundContext& context, const net::HttpRequest& request) {
  net::AddressShares::Hold wait = context.held->Take(request.address);
  if (context.held->held() > RoundContext::MostHeld(context.options)) return {};
  return wait;
}

// True once it has waited: what was asked for may be there now. Woken by the gate, since polling by each of
// many devices would cost more than their answers.
Task<bool> Hold(RoundContext& context, const Route& route, const net::HttpRequest& request,
                job::Gate::View& view, SteadyClock::time_point until) {
  const bool may_end = view.service == job::Service::kServing || view.service == job::Service::kSafemode;
  if (!may_end || SteadyClock::now() >= until || !AsksForRunning(route.round, request, *view.iteration)) {
    co_return false;
  }
  const net::AddressShares::Hold wait = TakeWait(context, request);
  if (!wait) co_return false;
  view = co_await context.job.gate().AwaitEnd(view.iteration.get(), until);
  co_return true;
}

// Who asks to start or uploads; nobody if that can't be read.
Sender SenderOf(const Route& route, const net::HttpRequest& request) {
  Sender sender;
  if (route.round == &StartFlJob) {
    const auto* message = VerifiedRoot<schema::RequestFLJob>(request);
    if (message != nullptr) sender.claimed = message->iteration();
    if (message != nullptr && message->fl_id() != nullptr) sender.fl_id = message->fl_id()->string_view();
  } else if (route.round == &UpdateModel) {
    const auto* message = VerifiedRoot<schema::RequestUpdateModel>(request);
    sender.uploads = true;
    if (message != nullptr) sender.claimed = message->iteration();
    if (message != nullptr && message->fl_id() != nullptr) sender.fl_id = message->fl_id()->string_view();
  }
  return sender;
}

// Whether it begins this iteration again as it was told: it must not be refused once more. One that claims
// the running iteration has been answered in it before, by another Server or by this one before a restart, or
// in one of the same number before a new instance; and it counts by number.
bool HasReturned(const RoundContext& context, const ToldToReturn& told, const job::Iteration& iteration) {
  if (context.options.as_release_0_2) return false;
  const std::optional<bool> remembered =
      context.returning.HasReturned(told.device, iteration.number(), WallMillis());
  return remembered.value_or(told.claimed == static_cast<std::int64_t>(iteration.number()));
}

// A device that came back as it was told while the cache is away: it waits for it instead of being refused
// again.
Task<> AwaitCache(RoundContext& context, const Route& route, const net::HttpRequest& request,
                  job::Gate::View& view, SteadyClock::time_point until) {
  const Sender sender = SenderOf(route, request);
  const ToldToReturn told{HashDevice(sender.fl_id), sender.claimed};
  while (view.service == job::Service::kSafemode && view.iteration != nullptr && SteadyClock::now() < until) {
    if (!HasReturned(context, told, *view.iteration)) co_return;
    const net::AddressShares::Hold wait = TakeWait(context, request);
    if (!wait) co_return;
    co_await Pause(std::chrono::milliseconds(200));
    view = co_await context.job.gate().Enter(kSwitchPatience);
  }
}

// One that came back as it was told, and that its round has refused again, since the iteration is full or
// since a request of it that it knows nothing of has joined: it waits for the next iteration. False when it
// is to have the answer.
Task<bool> AwaitNext(RoundContext& context, const net::HttpRequest& request, const job::Gate::View& view,
                     SteadyClock::time_point until) {
  const net::AddressShares::Hold wait = TakeWait(context, request);
  if (!wait) co_return false;
  view.iteration->visits.start_fl_job.Uncount(false);
  static_cast<void>(co_await context.job.gate().AwaitEnd(view.iteration.get(), until));
  co_return true;
}

Task<Outcome> Serve(RoundContext& context, const Route& route, const net::HttpRequest& request,
                    SteadyClock::time_point began) {
  // An upload beyond the threshold has its answer already; everybody else waits for what the switch brings.
  const job::Gate::View now = context.job.gate().Look();
  if (route.round == &UpdateModel && now.switching && now.service == job::Service::kServing &&
      now.iteration->update_model_full) {
    Outcome outcome = co_await route.round(context, request, *now.iteration);
    if (!outcome.moved) co_return outcome;
  }
  const bool may_hold = route.serves_models_only && context.options.hold_ms > 0;
  const SteadyClock::time_point hold_until = began + std::chrono::milliseconds(context.options.hold_ms);
  const SteadyClock::time_point return_until = began + kReturnPatience;
  std::shared_ptr<job::Iteration> last;
  for (int moves = 0; moves < kMoves; ++moves) {
    job::Gate::View view = co_await context.job.gate().Enter(kSwitchPatience, last.get());
    std::string_view refusal = Refusal(context, view, route);
    while (may_hold && refusal.empty()) {
      const bool held = co_await Hold(context, route, request, view, hold_until);
      if (!held) break;
      refusal = Refusal(context, view, route);
    }
    if (view.service == job::Service::kSafemode && route.round == &StartFlJob) {
      co_await AwaitCache(context, route, request, view, return_until);
      refusal = Refusal(context, view, route);
    }
    if (!refusal.empty()) {
      if (refusal == kSafemodeText && view.iteration != nullptr) {
        const Sender sender = SenderOf(route, request);
        co_await NoteSafemode(context, *view.iteration, sender, false);
      }
      co_return Outcome(refusal == kDisabledText ? Ending::kDisabled : Ending::kSafemode, PlainText(refusal));
    }
    if (context.withdrawing() && !route.serves_models_only) {
      co_await context.AwaitWithdrawals(HashDevice(SenderOf(route, request).fl_id));
    }
    Outcome outcome = co_await route.round(context, request, *view.iteration);
    if (!outcome.moved) {
      if (outcome.ending == Ending::kSafemode) {
        const Sender sender = SenderOf(route, request);
        co_await NoteSafemode(context, *view.iteration, sender, true);
      } else if (outcome.told_to_return) {
        const ToldToReturn& told = *outcome.told_to_return;
        if (route.round == &StartFlJob && HasReturned(context, told, *view.iteration) &&
            SteadyClock::now() < return_until) {
          const bool again = co_await AwaitNext(context, request, view, return_until);
          if (again) continue;
        }
        context.returning.Note(told.device, view.iteration->number(),
                               view.iteration->FutureRequestTime() - kEarlyMs);
      }
      co_return outcome;
    }
    context.job.NoteMoved();
    last = view.iteration;
  }
  co_return SafemodeOutcome();
}

net::HttpHandler Handler(RoundContext& context, Route route) {
  return [&context, route](const net::HttpRequest& request) -> Task<net::HttpReply> {
    const SteadyClock::time_point began = SteadyClock::now();
    Outcome outcome(Ending::kRejected, net::HttpReply());
    try {
      outcome = co_await Serve(context, route, request, began);
    } catch (const std::exception& error) {
      MSFL_LOG(kError, "a round failed: path=" << request.path << " error=" << error.what());
      outcome.reply = PlainText(kInnerErrorText);
    }
    context.statistics.Note(route.name, outcome.ending, SteadyClock::now() - began, request.body.size(),
                            outcome.reply.head.size() + outcome.reply.tail.size());
    co_return std::move(outcome.reply);
  };
}

// Any method and any body, whatever state the instance is in.
net::HttpHandler ExportHandler(RoundContext& context) {
  return [&context](const net::HttpRequest&) -> Task<net::HttpReply> {
    const job::Gate::View view = co_await context.job.gate().Enter(kSwitchPatience);
    if (context.job.stopping() || view.switching || view.iteration == nullptr) {
      co_return PlainText(kSafemodeText);
    }
    co_return ExportModel(*view.iteration);
  };
}

}  // namespace

std::string UrlPrefix(std::string_view text) {
  const std::size_t first = text.find_first_not_of('/');
  if (first == std::string_view::npos) return "/";
  const std::size_t last = text.find_last_not_of('/');
  return "/" + std::string(text.substr(first, last - first + 1)) + "/";
}

std::vector<net::HttpRoute> MakeRoutes(RoundContext& context) {
  static constexpr Route kRoutes[] = {
      {"startFLJob", RoundName::kStartFlJob, &StartFlJob, false},
      {"updateModel", RoundName::kUpdateModel, &UpdateModel, false},
      {"getModel", RoundName::kGetModel, &GetModel, true},
      {"getResult", RoundName::kGetResult, &GetResult, true},
  };
  const std::string prefix = UrlPrefix(context.options.http_url_prefix);
  std::vector<net::HttpRoute> routes;
  for (const Route& route : kRoutes) routes.push_back({prefix + route.path, Handler(context, route)});
  for (std::size_t i = 0; i < routes.size(); ++i) {
    // All that is no update has a few fields and certificates.
    if (kRoutes[i].round != &UpdateModel) routes[i].max_body_bytes = kMessageBytes;
    routes[i].overloaded = MakeOverloadedHandler(context, kRoutes[i].round, kRoutes[i].name);
  }
  net::HttpRoute exported{prefix + "exportModel", ExportHandler(context)};
  exported.takes_empty_body = true;
  exported.max_body_bytes = kMessageBytes;
  routes.push_back(std::move(exported));
  return routes;
}

}  // namespace msfl::rounds
