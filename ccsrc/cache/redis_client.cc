#include "cache/redis_client.h"

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <future>
#include <mutex>
#include <utility>

#include "cache/redis_link.h"
#include "cache/redis_subscription.h"

namespace msfl::cache {
namespace {

template <class Handler>
class AwaitedCommand final : public PendingCommand {
  using Allocator =
      typename std::allocator_traits<asio::associated_allocator_t<Handler, asio::recycling_allocator<void>>>::
          template rebind_alloc<AwaitedCommand>;

 public:
  static AwaitedCommand* Make(Handler handler) {
    Allocator allocator = AllocatorOf(handler);
    return new (allocator.allocate(1)) AwaitedCommand(std::move(handler));
  }
  void Complete(Result<RedisValue> result) override {
    Handler handler = Release();
    std::move(handler)(std::move(result));
  }
  void Abandon() override { Handler handler = Release(); }

 private:
  explicit AwaitedCommand(Handler handler) : handler_(std::move(handler)) {}
  ~AwaitedCommand() override = default;
  static Allocator AllocatorOf(const Handler& handler) {
    return Allocator(asio::get_associated_allocator(handler, asio::recycling_allocator<void>()));
  }
  Handler Release() {
    Handler handler = std::move(handler_);
    Allocator allocator = AllocatorOf(handler);
    this->~AwaitedCommand();
    allocator.deallocate(this, 1);
    return handler;
  }

  Handler handler_;
};

}  // namespace

struct RedisClient::Impl {
  Impl(net::EventLoops& event_loops, RedisOptions redis_options)
      : loops(event_loops), options(std::move(redis_options)) {
    for (std::size_t i = 0; i < loops.size(); ++i) {
      if (options.address.socket_path.empty()) {
        links.push_back(std::make_shared<RedisLink<TcpTransport>>(loops.loop(i), options));
      } else {
        links.push_back(std::make_shared<RedisLink<UnixTransport>>(loops.loop(i), options));
      }
    }
  }

  Task<Result<RedisValue>> Execute(const Script* script, std::span<const std::string_view> keys,
                                   std::span<const std::string_view> arguments) {
    return asio::async_initiate<const asio::use_awaitable_t<Executor>, void(Result<RedisValue>)>(
        [this, script, keys, arguments]<class Handler>(Handler handler) {
          const std::size_t loop = net::EventLoops::Current();
          Link& link = *links[loop];
          if (auto refusal = link.Refusal()) {
            asio::post(loops.loop(loop), [held = std::move(handler), error = std::move(*refusal)]() mutable {
              std::move(held)(Result<RedisValue>(std::move(error)));
            });
            return;
          }
          PendingCommand* command = AwaitedCommand<Handler>::Make(std::move(handler));
          command->script = script;
          command->keys = keys;
          command->arguments = arguments;
          link.Submit(command);
        },
        kAwait);
  }

  template <class Action>
  void OnLoopAndWait(std::size_t loop, Action action) {
    std::promise<void> promise;
    auto done = promise.get_future();
    asio::post(loops.loop(loop), [&action, promise = std::move(promise)]() mutable {
      action();
      promise.set_value();
    });
    done.wait();
  }

  net::EventLoops& loops;
  const RedisOptions options;
  std::vector<std::shared_ptr<Link>> links;  // by loop
  std::mutex mutex;                          // guards what follows
  std::vector<std::shared_ptr<Subscription>> subscriptions;
  bool stopped = false;
};

RedisClient::RedisClient(net::EventLoops& loops, RedisOptions options)
    : impl_(std::make_shared<Impl>(loops, std::move(options))) {}

RedisClient::~RedisClient() { Stop(); }

Result<void> RedisClient::Connect(std::chrono::milliseconds patience) {
  if (!impl_->loops.running()) return Error{Errc::kStopping, "the event loops do not run"};
  std::vector<std::future<Result<void>>> outcomes;
  for (std::size_t i = 0; i < impl_->links.size(); ++i) {
    auto promise = std::make_shared<std::promise<Result<void>>>();
    outcomes.push_back(promise->get_future());
    asio::post(impl_->loops.loop(i), [link = impl_->links[i], patience, promise] {
      link->Start(patience, [promise](Result<void> outcome) { promise->set_value(std::move(outcome)); });
    });
  }
  Result<void> answer;
  for (auto& outcome : outcomes) {
    auto one = outcome.get();
    if (!one && answer) answer = std::move(one);
  }
  return answer;
}

Task<Result<RedisValue>> RedisClient::Command(std::vector<std::string> words) {
  const std::vector<std::string_view> views(words.begin(), words.end());
  const std::span<const std::string_view> none;
  auto reply = co_await impl_->Execute(nullptr, none, views);
  co_return reply;
}

Task<Result<RedisValue>> RedisClient::Run(const Script& script, std::span<const std::string_view> keys,
                                          std::span<const std::string_view> arguments) {
  return impl_->Execute(&script, keys, arguments);
}

void RedisClient::Subscribe(std::string channel, std::function<void(std::string_view)> on_message,
                            std::function<void()> on_gap) {
  std::shared_ptr<Subscription> subscription;
  asio::io_context& loop = impl_->loops.control();
  if (impl_->options.address.socket_path.empty()) {
    subscription = std::make_shared<RedisSubscription<TcpTransport>>(
        loop, impl_->options, std::move(channel), std::move(on_message), std::move(on_gap));
  } else {
    subscription = std::make_shared<RedisSubscription<UnixTransport>>(
        loop, impl_->options, std::move(channel), std::move(on_message), std::move(on_gap));
  }
  const std::lock_guard lock(impl_->mutex);
  if (impl_->stopped) return;
  impl_->subscriptions.push_back(subscription);
  asio::post(loop, [subscription] { subscription->Start(); });
}

bool RedisClient::available() const {
  for (const auto& link : impl_->links) {
    if (!link->up()) return false;
  }
  return true;
}

void RedisClient::Stop() {
  {
    const std::lock_guard lock(impl_->mutex);
    if (std::exchange(impl_->stopped, true)) return;
  }
  if (!impl_->loops.running()) return;  // nothing runs there any more; the sockets close with their owners
  const std::size_t control = impl_->loops.size() - 1;
  impl_->OnLoopAndWait(control, [this] {
    for (const auto& subscription : impl_->subscriptions) subscription->Close();
  });
  for (std::size_t i = 0; i < impl_->links.size(); ++i) {
    impl_->OnLoopAndWait(i, [this, i] { impl_->links[i]->Close(); });
  }
}

}  // namespace msfl::cache
