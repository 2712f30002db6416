// One event loop's connection to Redis, wherever that is now (whereabouts.h): keeps it up, moves the
// pipeline's bytes.
//
//   idle -> connecting -> up -> connecting (lost; commands wait) -> up ...
//                            \-> down (a try has failed; new commands are refused) -> up ...
//   closed from anywhere, for good.
//
// While a Redis Cluster moves the job's slot, its node may send single commands to another one (ASK): those
// go over a second link, `aside_`, which ends when nothing went over it for a while.
#pragma once

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "cache/command_pipeline.h"
#include "cache/handshake.h"
#include "cache/link.h"
#include "cache/transport.h"

namespace msfl::cache {

template <class Transport>
class RedisLink final : public Link, public std::enable_shared_from_this<RedisLink<Transport>> {
 public:
  RedisLink(asio::io_context& loop, const RedisOptions& options, bool aside = false)
      : loop_(loop),
        options_(options),
        whereabouts_(options.address),
        pipeline_(Follow(aside)),
        tick_(loop),
        pause_(loop),
        input_(kInputBytes) {}

  void Start(std::chrono::milliseconds patience, std::function<void(Result<void>)> report) override {
    if (state_ == State::kClosed) {
      report(Unavailable("the link is closed"));
      return;
    }
    report_ = std::move(report);
    patience_end_ = SteadyClock::now() + patience;
    state_ = State::kConnecting;
    Tick();
    asio::co_spawn(loop_, Live(this->shared_from_this()), asio::detached);
  }

  std::optional<Error> Refusal() const override {
    switch (state_) {
      case State::kUp:
      case State::kConnecting:
        if (pipeline_.size() < options_.max_pending) return std::nullopt;
        return Unavailable(std::to_string(options_.max_pending) + " commands wait already");
      case State::kDown:
        return Unavailable("the connection is down");
      case State::kIdle:
        return Unavailable("not connected yet");
      case State::kClosed:
        break;
    }
    return Unavailable("the link is closed");
  }

  void Submit(PendingCommand* command) override {
    command->deadline = SteadyClock::now() + options_.command_timeout;
    Adopt(command);
  }

  void Adopt(PendingCommand* command) override {
    pipeline_.Push(command);
    ScheduleFlush();
  }

  void Close() override {
    if (state_ == State::kClosed) return;
    state_ = State::kClosed;
    up_ = false;
    tick_.cancel();
    pause_.cancel();
    if (connection_) Transport::Close(connection_->socket);
    if (aside_) aside_->Close();
    pipeline_.Disconnected();
    Report(Unavailable("the link is closed"));
    pipeline_.CompleteAll(Unavailable("the link is closed"));
  }

 private:
  enum class State { kIdle, kConnecting, kUp, kDown, kClosed };
  static constexpr std::size_t kInputBytes = 64 * 1024;
  static constexpr std::chrono::milliseconds kTick{50}, kFirstPause{1000};
  static constexpr std::chrono::seconds kAsideKept{10};

  // Lives as long as an operation on its socket, so that a late one can't touch the next connection.
  struct Connection {
    explicit Connection(asio::io_context& loop) : socket(loop) {}
    typename Transport::Socket socket;
    OutputBuffer output;
    bool writing = false;
  };

  Error Unavailable(const std::string& why) const {
    return Error{Errc::kCacheUnavailable,
                 "The distributed cache at " + options_.address.ForDisplay() + " is unavailable: " + why};
  }

  void Report(Result<void> outcome) {
    if (auto report = std::exchange(report_, nullptr)) report(std::move(outcome));
  }

  // A socket's path leads nowhere else.
  Following Follow(bool aside) {
    Following following;
    if (!options_.address.socket_path.empty()) return following;
    following.asking = aside;
    following.moved = !aside;
    following.readonly = !options_.address.master.empty();
    following.ask = [this](const RedisPlace& place, PendingCommand* command) { Ask(place, command); };
    return following;
  }

  void Ask(RedisPlace place, PendingCommand* command) {
    if (place.host.empty()) place.host = whereabouts_.Next().address.host;
    if (aside_ && (aside_->Refusal() || !(aside_place_ == place))) std::exchange(aside_, nullptr)->Close();
    aside_used_ = SteadyClock::now();
    if (!aside_) {
      RedisOptions options = options_;
      options.address = AddressOf(options_.address, place);
      MSFL_LOG(kInfo,
               "Part of the job is moving to the distributed cache at " << options.address.ForDisplay());
      aside_ = std::make_shared<RedisLink>(loop_, options, true);
      aside_place_ = std::move(place);
      aside_->Start(std::chrono::milliseconds(0), [](const Result<void>&) {});
    }
    aside_->Adopt(command);
  }

  static Task<> Live(std::shared_ptr<RedisLink> self) {
    while (self->state_ != State::kClosed) {
      const auto connection = std::make_shared<Connection>(self->loop_);
      self->connection_ = connection;
      self->establish_by_ = SteadyClock::now() + self->options_.connect_timeout;
      const Target target = self->whereabouts_.Next();
      const Encounter met = co_await Establish<Transport>(connection->socket, target);
      self->establish_by_.reset();
      if (self->state_ == State::kClosed) co_return;
      const auto began = SteadyClock::now();
      if (met.named) {
        Transport::Close(connection->socket);
        self->whereabouts_.Named(*met.named);
        continue;
      }
      if (met.fault) {
        Transport::Close(connection->socket);
        const auto failure = self->whereabouts_.Failed(met.fault->not_yet);
        if (!failure.round_over) continue;
        if (self->report_ && (!failure.not_yet || began >= self->patience_end_)) {
          self->Report(met.fault->error);
          self->Close();
          co_return;
        }
        if (!self->report_ && self->state_ != State::kDown) {
          self->state_ = State::kDown;
          MSFL_LOG(kWarning, met.fault->error.text << "; trying again");
        }
      } else {
        self->state_ = State::kUp;
        self->up_ = true;
        self->pipeline_.Connected();
        self->ScheduleFlush();
        self->Report(Result<void>());
        const std::string why = co_await Read(self, connection);
        Transport::Close(connection->socket);
        if (self->state_ == State::kClosed) co_return;
        self->state_ = State::kConnecting;
        self->up_ = false;
        self->pipeline_.Disconnected();
        if (self->GoOnElsewhere(target, why)) continue;
      }
      // A connection that has held for a while is replaced at once.
      const auto pause = self->report_
                             ? std::min<SteadyClock::duration>(kFirstPause, self->patience_end_ - began)
                             : SteadyClock::duration(self->options_.reconnect_pause);
      self->pause_.expires_at(began + pause);
      boost::system::error_code ignored;
      co_await self->pause_.async_wait(asio::redirect_error(kAwait, ignored));
    }
  }

  // After a connection to `target`. True if its node has named another one, where it goes on at once.
  bool GoOnElsewhere(const Target& target, const std::string& why) {
    const auto place = pipeline_.TakeRedirection();
    if (place && whereabouts_.Moved(*place)) {
      MSFL_LOG(kInfo, "The distributed cache at " << target.address.ForDisplay() << " sends the job on to "
                                                  << whereabouts_.Next().address.ForDisplay());
      return true;
    }
    if (!place) whereabouts_.Lost();
    MSFL_LOG(kWarning, "The connection to the distributed cache at "
                           << target.address.ForDisplay()
                           << " broke: " << (place ? "its nodes send us in circles: " : "") << why);
    return false;
  }

  static Task<std::string> Read(std::shared_ptr<RedisLink> self, std::shared_ptr<Connection> connection) {
    boost::system::error_code fault;
    while (true) {
      const std::size_t size = co_await connection->socket.async_read_some(
          asio::buffer(self->input_), asio::redirect_error(kAwait, fault));
      // Bytes that came before the connection was given up may still be reported after it.
      if (self->state_ != State::kUp) co_return "no answer in time";
      if (fault) co_return fault.message();
      if (!self->pipeline_.Receive(self->input_.data(), size)) co_return self->pipeline_.fault();
      self->whereabouts_.Settled();
      self->ScheduleFlush();  // an unknown script is sent again
    }
  }

  // Everything that is asked for in one turn of the loop goes out in one write.
  void ScheduleFlush() {
    if (flush_posted_ || state_ != State::kUp || pipeline_.output().empty()) return;
    flush_posted_ = true;
    asio::post(loop_, [self = this->shared_from_this()] {
      self->flush_posted_ = false;
      self->Flush();
    });
  }

  void Flush() {
    if (state_ != State::kUp || connection_->writing || pipeline_.output().empty()) return;
    Connection& connection = *connection_;
    connection.writing = true;
    std::swap(connection.output, pipeline_.output());
    asio::async_write(
        connection.socket, asio::buffer(connection.output.data(), connection.output.size()),
        [self = this->shared_from_this(), held = connection_](const boost::system::error_code& fault,
                                                              std::size_t) { self->Written(held, fault); });
  }

  void Written(const std::shared_ptr<Connection>& connection, const boost::system::error_code& fault) {
    connection->writing = false;
    connection->output.Clear();
    if (fault) Transport::Close(connection->socket);  // ends Read()
    if (!fault && connection == connection_) Flush();
  }

  // One coarse timer instead of one for each command.
  void Tick() {
    const auto now = SteadyClock::now();
    if (establish_by_ && now >= *establish_by_) Transport::Close(connection_->socket);
    // A loop that was held up has answers waiting in its socket: those are read before any is called late.
    const bool held_up = now - last_tick_ > 4 * kTick;
    last_tick_ = now;
    if (!held_up && pipeline_.Late(now)) {
      if (state_ == State::kUp) {
        // The reply would come before those of younger commands, so this connection is of no more use.
        state_ = State::kConnecting;
        up_ = false;
        Transport::Close(connection_->socket);
      }
      pipeline_.Disconnected();
      pipeline_.CompleteLate(
          now, Unavailable("no answer within " + std::to_string(options_.command_timeout.count()) + " ms"));
    }
    if (aside_ && now - aside_used_ > kAsideKept) std::exchange(aside_, nullptr)->Close();
    tick_.expires_after(kTick);
    tick_.async_wait([self = this->shared_from_this()](const boost::system::error_code& fault) {
      if (!fault && self->state_ != State::kClosed) self->Tick();
    });
  }

  asio::io_context& loop_;
  const RedisOptions options_;
  State state_ = State::kIdle;
  Whereabouts whereabouts_;
  CommandPipeline pipeline_;
  std::shared_ptr<RedisLink> aside_;
  RedisPlace aside_place_;
  SteadyClock::time_point aside_used_;
  std::shared_ptr<Connection> connection_;
  std::optional<SteadyClock::time_point> establish_by_;
  SteadyClock::time_point patience_end_;
  SteadyClock::time_point last_tick_ = SteadyClock::now();
  std::function<void(Result<void>)> report_;
  LoopTimer tick_, pause_;
  std::vector<char> input_;
  bool flush_posted_ = false;
};

}  // namespace msfl::cache
