// A connection that listens to one channel, on the control loop. A PING a second tells a silent channel from
// a dead connection. With sentinels it is at the master; in a Redis Cluster any node will do.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cache/redis_link.h"

namespace msfl::cache {

class Subscription {
 public:
  virtual ~Subscription() = default;
  virtual void Start() = 0;
  virtual void Close() = 0;
};

template <class Transport>
class RedisSubscription final : public Subscription,
                                public std::enable_shared_from_this<RedisSubscription<Transport>> {
 public:
  RedisSubscription(asio::io_context& loop, const RedisOptions& options, std::string channel,
                    std::function<void(std::string_view)> on_message, std::function<void()> on_gap)
      : loop_(loop),
        options_(options),
        whereabouts_(options.address),
        channel_(std::move(channel)),
        on_message_(std::move(on_message)),
        on_gap_(std::move(on_gap)),
        tick_(loop),
        pause_(loop) {}

  void Start() override {
    Tick();
    asio::co_spawn(loop_, Live(this->shared_from_this()), asio::detached);
  }

  void Close() override {
    closed_ = true;
    tick_.cancel();
    pause_.cancel();
    if (connection_) Transport::Close(connection_->socket);
  }

 private:
  struct Connection {
    explicit Connection(asio::io_context& loop) : socket(loop), input(16 * 1024) {}
    typename Transport::Socket socket;
    ReplyReader reader;
    std::vector<char> input;
  };
  static constexpr std::chrono::milliseconds kTick{50}, kPingPeriod{1000};

  static Task<> Live(std::shared_ptr<RedisSubscription> self) {
    while (!self->closed_) {
      const auto connection = std::make_shared<Connection>(self->loop_);
      self->connection_ = connection;
      self->answer_by_ = SteadyClock::now() + self->options_.connect_timeout;
      const Target target = self->whereabouts_.Next();
      const Encounter met = co_await Establish<Transport>(connection->socket, target);
      bool pause = true;
      if (met.named) {
        self->whereabouts_.Named(*met.named);
        pause = false;
      } else if (met.fault) {
        pause = self->whereabouts_.Failed(met.fault->not_yet).round_over;
      } else if (!self->closed_) {
        co_await Listen(self, connection);
        self->whereabouts_.Lost();
      }
      self->answer_by_.reset();
      self->subscribed_ = false;
      Transport::Close(connection->socket);
      if (self->closed_) co_return;
      if (!pause) continue;
      self->pause_.expires_after(self->options_.reconnect_pause);
      boost::system::error_code ignored;
      co_await self->pause_.async_wait(asio::redirect_error(kAwait, ignored));
    }
  }

  static Task<> Listen(std::shared_ptr<RedisSubscription> self, std::shared_ptr<Connection> connection) {
    OutputBuffer subscribe;
    const std::string_view words[] = {"SUBSCRIBE", self->channel_};
    subscribe.AppendWords(words);
    boost::system::error_code fault;
    co_await asio::async_write(connection->socket, asio::buffer(subscribe.data(), subscribe.size()),
                               asio::redirect_error(kAwait, fault));
    Reply reply;
    while (!fault && !self->closed_) {
      const ReplyReader::Step step = connection->reader.Next(reply);
      if (step == ReplyReader::Step::kBroken) break;
      if (step == ReplyReader::Step::kReply) {
        if (!self->Handle(reply)) break;
        continue;
      }
      const std::size_t size = co_await connection->socket.async_read_some(
          asio::buffer(connection->input), asio::redirect_error(kAwait, fault));
      if (!fault) connection->reader.Feed(connection->input.data(), size);
    }
  }

  bool Handle(const Reply& reply) {
    const auto& items = reply.value.array;
    if (reply.error || items.empty()) {
      MSFL_LOG(kWarning,
               "The subscription to the distributed cache was answered by '" << reply.value.text << "'");
      return false;
    }
    const std::string& kind = items[0].text;
    if (kind == "message" && items.size() == 3) {
      on_message_(items[2].text);
    } else if (kind == "subscribe") {
      answer_by_.reset();
      subscribed_ = true;
      next_ping_ = SteadyClock::now() + kPingPeriod;
      on_gap_();
    } else if (kind == "pong") {
      answer_by_.reset();
      next_ping_ = SteadyClock::now() + kPingPeriod;
    }
    return true;
  }

  void Tick() {
    const auto now = SteadyClock::now();
    if (answer_by_ && now >= *answer_by_) {
      Transport::Close(connection_->socket);  // ends Establish() or Listen()
    } else if (!answer_by_ && subscribed_ && now >= next_ping_) {
      answer_by_ = now + options_.command_timeout;
      asio::async_write(connection_->socket, asio::buffer(kPing, sizeof kPing - 1),
                        [held = connection_](const boost::system::error_code& fault, std::size_t) {
                          if (fault) Transport::Close(held->socket);
                        });
    }
    tick_.expires_after(kTick);
    tick_.async_wait([self = this->shared_from_this()](const boost::system::error_code& fault) {
      if (!fault && !self->closed_) self->Tick();
    });
  }

  static constexpr char kPing[] = "*1\r\n$4\r\nPING\r\n";
  asio::io_context& loop_;
  const RedisOptions options_;
  Whereabouts whereabouts_;
  const std::string channel_;
  const std::function<void(std::string_view)> on_message_;
  const std::function<void()> on_gap_;
  std::shared_ptr<Connection> connection_;
  std::optional<SteadyClock::time_point> answer_by_;
  SteadyClock::time_point next_ping_;
  LoopTimer tick_, pause_;
  bool subscribed_ = false, closed_ = false;
};

}  // namespace msfl::cache
