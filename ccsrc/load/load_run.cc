#include "load/load_run.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/clock.h"
#include "load/closed_loop.h"
#include "load/open_loop.h"

namespace msfl::load {

namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::milliseconds kProgress{250};

}  // namespace

LoadRun::LoadRun(LoadOptions options, Progress progress)
    : options_(std::move(options)),
      progress_(std::move(progress)),
      pool_(options_),
      messages_(std::to_string(WallMillis()), options_.data_size) {}

Result<void> LoadRun::Check() const {
  const auto refuse = [](const char* text) { return Error{Errc::kInvalidArgument, text}; };
  if (options_.targets.empty()) return refuse("there is no Server to be loaded");
  if (options_.devices < 1 || options_.connections < 1)
    return refuse("devices and connections have to be at least 1");
  if (std::ranges::none_of(options_.rounds, [](bool wanted) { return wanted; }))
    return refuse("there is no round");
  if (options_.rounds[Index(Round::kUpdateModel)] && !options_.rounds[Index(Round::kStartFlJob)]) {
    return refuse("only a device that has started (round 'start') may update");
  }
  if (options_.iterations == 0 && options_.seconds <= 0)
    return refuse("neither iterations nor seconds are given");
  return {};
}

Result<LoadReport> LoadRun::Run() {
  if (const Result<void> checked = Check(); !checked) return checked.error();
  if (const Result<void> watched = account_.Watch(options_.server_pids); !watched) return watched.error();
  if (const Result<void> prepared = pool_.Prepare(); !prepared) return prepared.error();
  if (OpenAll()) Loop();
  Finish();
  return report_;
}

bool LoadRun::OpenAll() {
  std::uint32_t next = 0;
  std::size_t settled = 0;
  while (settled < pool_.size()) {
    for (; next < pool_.size() && pool_.MayOpen(); ++next) {
      if (pool_.Open(next, Clock::now()) == Connection::Progress::kBroken) {
        report_.tally.errors.Add(FoldCause(pool_[next].connection.fault()));
        ++settled;
      }
    }
    bool interrupted = false;
    for (const epoll_event& event : pool_.Wait(Clock::now() + kTick, interrupted)) {
      const std::uint32_t index = event.data.u32;
      Connection& connection = pool_[index].connection;
      const bool connecting = connection.is_connecting();
      const Connection::Progress progress = connection.OnReady();
      if (progress == Connection::Progress::kPending) continue;
      if (connecting) {
        HandleOpening(index, progress);
        ++settled;
      } else {  // closed by the Server while others are still opened
        report_.tally.errors.Add(FoldCause(connection.fault()));
      }
    }
    const TimePoint now = Clock::now();
    for (std::uint32_t i = 0; i < next; ++i) {
      Slot& slot = pool_[i];
      if (!slot.connection.is_connecting() || slot.deadline > now) continue;
      pool_.NoteConnectingOver();
      slot.connection.Close();
      report_.tally.errors.Add("connect: timed out");
      ++settled;
    }
    if (!Tick(now, interrupted)) return false;
  }
  for (std::uint32_t i = 0; i < pool_.size(); ++i) {
    const bool is_open = pool_[i].connection.is_open();
    if (i < pool_.load_size()) open_ += is_open ? 1 : 0;
    if (i >= pool_.load_size()) report_.idle_connections += is_open ? 1 : 0;
  }
  pool_.ListAll();
  if (open_ == 0) ending_ = Ending::kNobody;
  return open_ > 0;
}

void LoadRun::HandleOpening(std::uint32_t index, Connection::Progress progress) {
  Slot& slot = pool_[index];
  pool_.NoteConnectingOver();
  if (progress == Connection::Progress::kConnected) {
    slot.failures = 0;
    ++report_.tally.connections_opened;
    report_.tally.connect_latency.Add(Clock::now() - slot.began);
    if (slot.exchange) SendNow(index);
  } else if (slot.exchange) {
    Fail(index, slot.connection.fault());
  } else {
    report_.tally.errors.Add(FoldCause(slot.connection.fault()));
  }
}

void LoadRun::Loop() {
  began_ = Clock::now();
  began_cpu_ = CpuSeconds(CLOCK_THREAD_CPUTIME_ID);
  began_server_cpu_ = account_.ServerCpu();
  if (options_.rate > 0) {
    schedule_ = std::make_unique<OpenLoop>(options_, began_);
  } else {
    schedule_ = std::make_unique<ClosedLoop>(options_, began_);
  }
  account_.Begin(schedule_->phase());
  bool stopping = false;
  const TimePoint stop_at = options_.seconds > 0 ? began_ + Seconds(options_.seconds) : TimePoint::max();
  for (;;) {
    const TimePoint now = Clock::now();
    if (!stopping && now >= stop_at) {
      stopping = true;
      schedule_->StopArrivals(now);
    }
    if (!ending_) ending_ = schedule_->ended(now);
    if (ending_) break;
    // Who finds no connection is sent when one gets free, or has paused.
    const bool free = Dispatch();
    TimePoint until = free ? std::min(schedule_->NextDue(now), next_tick_) : next_tick_;
    if (!stopping) until = std::min(until, stop_at);
    bool interrupted = false;
    for (const epoll_event& event : pool_.Wait(until, interrupted)) Handle(event.data.u32);
    if (!Tick(Clock::now(), interrupted)) break;
  }
}

bool LoadRun::Dispatch() {
  const TimePoint now = Clock::now();
  while (!ending_) {
    const std::optional<std::uint32_t> index = pool_.Acquire(now);
    if (!index) return false;
    const std::optional<Exchange> exchange = schedule_->Next(now, messages_.learnt());
    account_.Note(schedule_->phase(), report_);
    if (!exchange) {
      pool_.PutBack(*index);
      break;
    }
    Begin(*index, *exchange);
  }
  return true;
}

void LoadRun::Begin(std::uint32_t index, const Exchange& exchange) {
  Slot& slot = pool_[index];
  slot.exchange = exchange;
  if (slot.connection.is_free()) return SendNow(index);
  if (pool_.Open(index, Clock::now()) == Connection::Progress::kBroken) Fail(index, slot.connection.fault());
}

void LoadRun::SendNow(std::uint32_t index) {
  Slot& slot = pool_[index];
  const Exchange& exchange = *slot.exchange;
  Request request =
      messages_.Make(exchange.round, options_.targets[slot.target], exchange.device, exchange.iteration);
  const bool learns = exchange.round == Round::kStartFlJob && !messages_.learnt() &&
                      options_.rounds[Index(Round::kUpdateModel)];
  slot.began = Clock::now();
  slot.deadline = slot.began + Seconds(options_.timeout);
  const Connection::Progress progress = slot.connection.Send(std::move(request), learns);
  if (progress == Connection::Progress::kBroken) Fail(index, slot.connection.fault());
  if (progress == Connection::Progress::kAnswered) Complete(index);
}

void LoadRun::Handle(std::uint32_t index) {
  Slot& slot = pool_[index];
  const bool opening = slot.connection.is_connecting();
  const Connection::Progress progress = slot.connection.OnReady();
  if (progress == Connection::Progress::kPending) return;
  if (index >= pool_.load_size()) {
    report_.idle_lost += progress == Connection::Progress::kBroken ? 1 : 0;
    return;
  }
  if (opening) {
    HandleOpening(index, progress);
  } else if (progress == Connection::Progress::kAnswered) {
    Complete(index);
  } else if (slot.exchange) {
    Fail(index, slot.connection.fault());
  }
  // The next request leaves before others are looked at.
  Dispatch();
}

void LoadRun::CountBytes(Slot& slot) {
  RoundTally& tally = report_.tally.rounds[Index(slot.exchange->round)];
  tally.bytes_sent += slot.connection.sent();
  tally.bytes_received += slot.connection.received();
}

void LoadRun::Complete(std::uint32_t index) {
  const TimePoint now = Clock::now();
  Slot& slot = pool_[index];
  const Exchange exchange = *slot.exchange;
  const Connection& connection = slot.connection;
  Answer answer = ReadAnswer(exchange.round, connection.status(), connection.body_start());
  if (answer.verdict == Verdict::kAccepted && exchange.round == Round::kStartFlJob && !messages_.learnt() &&
      options_.rounds[Index(Round::kUpdateModel)]) {
    if (const Result<void> learnt = messages_.Learn(connection.body_start()); !learnt) {
      answer.verdict = Verdict::kError;
      answer.cause = report_.detail = learnt.error().text;
      ending_ = Ending::kNoModel;
    }
  }
  report_.tally.NoteAnswer(exchange.round, answer, now - (options_.rate > 0 ? exchange.due : slot.began));
  CountBytes(slot);
  pool_.Release(index);
  schedule_->Answered(exchange, answer, now);
  account_.Note(schedule_->phase(), report_);
}

void LoadRun::Fail(std::uint32_t index, const std::string& cause) {
  Slot& slot = pool_[index];
  const Exchange exchange = *slot.exchange;
  report_.tally.NoteBroken(exchange.round, FoldCause(cause));
  CountBytes(slot);
  const TimePoint now = Clock::now();
  pool_.ReleaseFailed(index, now);
  schedule_->Broken(exchange, now);
}

void LoadRun::CutOverdue(TimePoint now) {
  for (std::uint32_t i = 0; i < pool_.load_size(); ++i) {
    Slot& slot = pool_[i];
    if (!slot.exchange || slot.deadline > now) continue;
    const bool connecting = slot.connection.is_connecting();
    if (connecting) pool_.NoteConnectingOver();
    slot.connection.Close();
    Fail(i, connecting ? "connect: timed out" : "timed out");
  }
}

bool LoadRun::Tick(TimePoint now, bool interrupted) {
  if (now >= next_tick_) {
    next_tick_ = now + kTick;
    if (!Opening()) CutOverdue(now);
  }
  if (!interrupted && now < next_progress_) return true;
  next_progress_ = now + kProgress;
  if (!Opening()) {
    report_.seconds = ToSeconds(now - began_);
    schedule_->Fill(report_);
  }
  if (progress_(report_)) return true;
  ending_ = Ending::kInterrupted;
  return false;
}

void LoadRun::Finish() {
  const TimePoint now = Clock::now();
  report_.ending = ending_.value_or(Ending::kDone);
  report_.model_bytes = messages_.model_bytes();
  if (Opening()) return;
  account_.End(report_);
  report_.seconds = ToSeconds(now - began_);
  report_.generator_cpu_seconds = CpuSeconds(CLOCK_THREAD_CPUTIME_ID) - began_cpu_;
  report_.server_cpu_seconds = account_.ServerCpu() - began_server_cpu_;
  report_.unanswered = schedule_->Overdue(now);
  for (std::uint32_t i = 0; i < pool_.load_size(); ++i) report_.unanswered += pool_[i].exchange ? 1 : 0;
  schedule_->Fill(report_);
}

}  // namespace msfl::load
