#include "rounds/round_context.h"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <charconv>
#include <random>

#include "base/log.h"
#include "rounds/plain_text.h"

namespace msfl::rounds {
namespace {

// A switch takes milliseconds, but a slow disk may hold it up; devices wait 90 s for an answer.
constexpr std::chrono::milliseconds kSwitchPatience(10'000);
// How often a request may find its iteration over; more means that iterations end faster than a request is
// served.
constexpr int kMoves = 5;

std::string RandomPrefix() {
  std::random_device random;
  std::array<char, 17> text{};
  const std::uint64_t number = (static_cast<std::uint64_t>(random()) << 32) | random();
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number, 36).ptr;
  return std::string(text.data(), end) + ".";
}

bool ServesModelsOnly(Round round) { return round == &GetModel || round == &GetResult; }

// The text that refuses the request before its round sees it; empty if nothing does.
std::string_view Refusal(const job::Gate::View& view, Round round) {
  switch (view.service) {
    case job::Service::kStopping:
      return kSafemodeText;
    case job::Service::kFinished:
      if (!ServesModelsOnly(round)) return kDisabledText;
      break;
    case job::Service::kDisabled:
      return kDisabledText;
    case job::Service::kSafemode:
      if (!ServesModelsOnly(round)) return kSafemodeText;
      break;
    case job::Service::kServing:
      break;
  }
  return view.switching || view.iteration == nullptr ? kSafemodeText : std::string_view();
}

Task<net::HttpReply> Serve(RoundContext& context, Round round, const net::HttpRequest& request) {
  // An upload beyond the threshold has its answer already; everybody else waits for what the switch brings.
  const job::Gate::View now = context.job.gate().Look();
  if (round == &UpdateModel && now.switching && now.service == job::Service::kServing &&
      now.iteration->update_model_full) {
    Outcome outcome = co_await round(context, request, *now.iteration);
    if (!outcome.moved) co_return std::move(outcome.reply);
  }
  std::shared_ptr<job::Iteration> last;
  for (int moves = 0; moves < kMoves; ++moves) {
    const job::Gate::View view = co_await context.job.gate().Enter(kSwitchPatience, last.get());
    const std::string_view refusal = Refusal(view, round);
    if (!refusal.empty()) co_return PlainText(refusal);
    if (context.withdrawing() && !ServesModelsOnly(round)) co_await context.AwaitWithdrawals();
    Outcome outcome = co_await round(context, request, *view.iteration);
    if (!outcome.moved) co_return std::move(outcome.reply);
    context.job.NoteMoved();
    last = view.iteration;
  }
  co_return PlainText(kSafemodeText);
}

net::HttpHandler Handler(RoundContext& context, Round round) {
  return [&context, round](const net::HttpRequest& request) -> Task<net::HttpReply> {
    try {
      co_return co_await Serve(context, round, request);
    } catch (const std::exception& error) {
      MSFL_LOG(kError, "a round failed: path=" << request.path << " error=" << error.what());
    }
    co_return PlainText(kInnerErrorText);
  };
}

}  // namespace

RoundContext::RoundContext(job::Job& the_job, cache::JobStore& the_store, const ServerOptions& the_options)
    : job(the_job), store(the_store), options(the_options), nonce_prefix_(RandomPrefix()) {}

std::string RoundContext::NewNonce() {
  std::array<char, 14> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), nonce_count_.fetch_add(1), 36).ptr;
  return nonce_prefix_ + std::string(text.data(), end);
}

Task<bool> RoundContext::MayAskAgain(SteadyClock::time_point asked_first,
                                     const cache::IterationKey& iteration, std::string_view fl_id,
                                     std::string_view nonce) {
  constexpr std::chrono::seconds kPatience(5);
  if (!job.stopping() && job.gate().Look().service == job::Service::kServing &&
      SteadyClock::now() - asked_first < kPatience) {
    co_await Pause(std::chrono::milliseconds(50));
    co_return true;
  }
  const Executor executor = co_await asio::this_coro::executor;
  ++withdrawals_;
  asio::co_spawn(executor, Withdraw(*this, iteration, std::string(fl_id), std::string(nonce)),
                 asio::detached);
  co_return false;
}

Task<> RoundContext::Withdraw(RoundContext& context, cache::IterationKey iteration, std::string fl_id,
                              std::string nonce) {
  while (!context.job.stopping()) {
    const Result<void> done = co_await context.store.Withdraw(iteration, fl_id, nonce);
    if (done) break;
    co_await Pause(std::chrono::milliseconds(50));
  }
  --context.withdrawals_;
}

Task<> RoundContext::AwaitWithdrawals() {
  constexpr std::chrono::seconds kPatience(1);
  const SteadyClock::time_point until = SteadyClock::now() + kPatience;
  while (withdrawing() && SteadyClock::now() < until) co_await Pause(std::chrono::milliseconds(10));
}

Task<> Pause(std::chrono::milliseconds time) {
  const Executor executor = co_await asio::this_coro::executor;
  asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor> timer(executor, time);
  co_await timer.async_wait(kAwait);
}

std::vector<net::HttpRoute> MakeRoutes(RoundContext& context) {
  const std::string prefix = context.options.http_url_prefix.empty() ? "/" : context.options.http_url_prefix;
  return {
      {prefix + "startFLJob", Handler(context, &StartFlJob)},
      {prefix + "updateModel", Handler(context, &UpdateModel)},
      {prefix + "getModel", Handler(context, &GetModel)},
      {prefix + "getResult", Handler(context, &GetResult)},
  };
}

}  // namespace msfl::rounds
