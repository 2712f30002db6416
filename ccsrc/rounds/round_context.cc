#include "rounds/round_context.h"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <charconv>
#include <random>

#include "rounds/plain_text.h"

namespace msfl::rounds {
namespace {

std::string RandomPrefix() {
  std::random_device random;
  std::array<char, 17> text{};
  const std::uint64_t number = (static_cast<std::uint64_t>(random()) << 32) | random();
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number, 36).ptr;
  return std::string(text.data(), end) + ".";
}

}  // namespace

RoundContext::RoundContext(job::Job& the_job, cache::JobStore& the_store, const ServerOptions& the_options)
    : job(the_job),
      store(the_store),
      options(the_options),
      held(std::make_shared<net::AddressShares>(
          net::AddressShares::Ceiling(MostHeld(options), options.limits.address_share))),
      nonce_prefix_(RandomPrefix()) {}

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
  co_await BeginWithdrawal(iteration, std::string(fl_id), std::string(nonce));
  co_return false;
}

Task<> RoundContext::LetStartAgain(const cache::IterationKey& iteration, std::string_view fl_id) {
  // While the cache is away each request would leave something behind, and anybody can name any device. Who
  // is not let start again waits for the next iteration.
  if (withdrawals_->size() >= options.connection_limit) co_return;
  const std::string nonce = NewNonce();
  if (job.stopping()) {  // the cache is there, but not for long
    co_await store.Withdraw(iteration, std::string(fl_id), nonce);
    co_return;
  }
  co_await BeginWithdrawal(iteration, std::string(fl_id), nonce);
}

Task<> RoundContext::BeginWithdrawal(cache::IterationKey iteration, std::string fl_id, std::string nonce) {
  const Executor executor = co_await asio::this_coro::executor;
  Withdrawals::Entry entry(withdrawals_, HashDevice(fl_id));
  asio::co_spawn(executor,
                 Withdraw(*this, std::move(iteration), std::move(fl_id), std::move(nonce), std::move(entry)),
                 asio::detached);
}

Task<> RoundContext::Withdraw(RoundContext& context, cache::IterationKey iteration, std::string fl_id,
                              std::string nonce, Withdrawals::Entry) {
  while (!context.job.stopping()) {
    const Result<void> done = co_await context.store.Withdraw(iteration, fl_id, nonce);
    if (done) break;
    co_await Pause(std::chrono::milliseconds(50));
  }
}

Task<> RoundContext::AwaitWithdrawals(DeviceHash device) {
  constexpr std::chrono::seconds kPatience(1);
  const SteadyClock::time_point until = SteadyClock::now() + kPatience;
  while (withdrawals_->Contains(device) && SteadyClock::now() < until)
    co_await Pause(std::chrono::milliseconds(10));
}

Task<> Pause(std::chrono::milliseconds time) {
  const Executor executor = co_await asio::this_coro::executor;
  asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor> timer(executor, time);
  co_await timer.async_wait(kAwait);
}

Task<> NoteSafemode(RoundContext& context, job::Iteration& iteration, const Sender& sender, bool withdrawn) {
  // Devices come back after 10 s, by clocks of their own.
  constexpr std::int64_t kPauseMs = 9'000;
  if (sender.fl_id.empty() || sender.fl_id.size() > context.options.limits.fl_id_bytes) co_return;
  context.returning.Note(HashDevice(sender.fl_id), iteration.number(), WallMillis() + kPauseMs);
  const bool must_start_again =
      sender.uploads && sender.claimed == static_cast<std::int64_t>(iteration.number());
  // It may have a place that it can take again.
  if (withdrawn || must_start_again) iteration.some_start_again = true;
  if (must_start_again) co_await context.LetStartAgain(iteration.key(), sender.fl_id);
}

Outcome SafemodeOutcome() { return {Outcome::Ending::kSafemode, PlainText(kSafemodeText)}; }

}  // namespace msfl::rounds
