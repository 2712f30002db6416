#include "collective/offers.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace msfl::collective {

namespace {

using schema::PeerRefusalCode;

constexpr std::chrono::milliseconds kLongestWait{10'000};
constexpr std::size_t kInstancesKept = 4;

Refusal Refuse(PeerRefusalCode code, std::string text) {
  Refusal refusal;
  refusal.code = code;
  refusal.text = std::move(text);
  return refusal;
}

net::PeerAnswer Encoded(const Refusal& refusal) {
  net::PeerAnswer answer;
  answer.refused = true;
  answer.head = EncodeRefusal(refusal);
  return answer;
}

SteadyClock::time_point WaitsUntil(const schema::PeerRequest& request) {
  return SteadyClock::now() + std::min(kLongestWait, std::chrono::milliseconds(request.wait_ms()));
}

bool MayChange(const std::optional<Refusal>& refusal) { return refusal && !refusal->final(); }

std::string IterationText(std::string_view instance, std::uint64_t iteration) {
  CombinationKey key;
  key.instance = instance;
  key.iteration = iteration;
  return key.Text();
}

}  // namespace

void Offers::Begin(std::shared_ptr<Combination> combination, std::shared_ptr<model::RunningSum> sum) {
  // What was held before is let go without the lock: it may be the last owner of much memory.
  const std::lock_guard lock(mutex_);
  if (cancelled_) return;
  newest_.swap(combination);
  sum_.swap(sum);
  averaged_ = false;
  failure_.reset();
  if (HasLeft(newest_->key.instance, newest_->key.iteration)) newest_->left = true;
  waiters_.WakeAll();
}

void Offers::SetAveraged(const Combination& combination) {
  const std::lock_guard lock(mutex_);
  if (newest_.get() != &combination) return;
  averaged_ = true;
  waiters_.WakeAll();
}

void Offers::SetFailed(const Combination& combination, const Error& why) {
  const std::lock_guard lock(mutex_);
  if (newest_.get() != &combination || averaged_ || failure_) return;
  const bool not_finite = why.code == Errc::kNotFinite;
  failure_ = not_finite ? Refuse(Code::NotFinite, why.text)
                        : Refuse(Code::Failed, "its own combination has failed: " + why.text);
  waiters_.WakeAll();
}

void Offers::Leave(std::string_view instance, std::uint64_t iteration) {
  std::shared_ptr<model::RunningSum> unused;
  const std::lock_guard lock(mutex_);
  const auto known = std::ranges::find(left_, instance, &Left::instance);
  if (known != left_.end()) {
    known->iteration = std::max(known->iteration, iteration);
  } else {
    if (left_.size() >= kInstancesKept) left_.erase(left_.begin());
    left_.push_back(Left{std::string(instance), iteration});
  }
  if (newest_ != nullptr && HasLeft(newest_->key.instance, newest_->key.iteration)) {
    newest_->left = true;
    unused.swap(sum_);
  }
  waiters_.WakeAll();
}

void Offers::GoBack(std::string_view instance, std::uint64_t iteration) {
  std::shared_ptr<Combination> combination;
  std::shared_ptr<model::RunningSum> sum;
  const std::lock_guard lock(mutex_);
  for (Left& left : left_) {
    if (left.instance == instance && left.iteration >= iteration) left.iteration = iteration - 1;
  }
  if (newest_ != nullptr && newest_->key.instance == instance && newest_->key.iteration >= iteration) {
    newest_->left = true;
    newest_.swap(combination);
    sum_.swap(sum);
  }
  waiters_.WakeAll();
}

void Offers::SetModelSource(ModelSource source) {
  const std::lock_guard lock(mutex_);
  source_.swap(source);
}

void Offers::Cancel() {
  std::shared_ptr<Combination> combination;
  std::shared_ptr<model::RunningSum> sum;
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  newest_.swap(combination);
  sum_.swap(sum);
  waiters_.WakeAll();
}

bool Offers::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

bool Offers::HasLeft(std::string_view instance, std::uint64_t iteration) const {
  if (newest_ != nullptr && newest_->key.instance == instance && newest_->key.iteration > iteration)
    return true;
  return std::ranges::any_of(
      left_, [&](const Left& left) { return left.instance == instance && left.iteration >= iteration; });
}

bool Offers::IsNewest(std::string_view instance, std::uint64_t iteration) const {
  return newest_ != nullptr && newest_->key.instance == instance && newest_->key.iteration == iteration;
}

Refusal Offers::NotBegun(std::string_view instance, std::uint64_t iteration) const {
  return Refuse(Code::NotYet, "it has not begun to combine " + IterationText(instance, iteration));
}

std::optional<Refusal> Offers::RefusalOfSum(const schema::SumQuestion& question) const {
  const std::string_view instance = question.instance()->string_view();
  if (cancelled_) return Refuse(Code::Stopping, "it is stopping");
  const bool is_newest = IsNewest(instance, question.iteration());
  if (HasLeft(instance, question.iteration()) || (is_newest && sum_ == nullptr))
    return Refuse(Code::Gone, "it has left " + IterationText(instance, question.iteration()));
  if (!is_newest) return NotBegun(instance, question.iteration());
  // One of them may not have heard yet that a part has another owner: then it begins anew.
  if (newest_->key.members != question.members())
    return Refuse(Code::OtherMembers, "it combines the sums of other members, or other sums");
  const std::uint64_t uploads = newest_->members[newest_->rank].uploads;
  if (uploads != question.uploads()) {
    return Refuse(Code::OtherUploads, "its sum holds " + std::to_string(uploads) + " uploads, not " +
                                          std::to_string(question.uploads()));
  }
  return std::nullopt;
}

std::optional<Refusal> Offers::RefusalOfAverage(const schema::AverageQuestion& question) const {
  const std::string_view instance = question.instance()->string_view();
  if (cancelled_) return Refuse(Code::Stopping, "it is stopping");
  const bool newest = IsNewest(instance, question.iteration());
  const bool same = newest && newest_->key.members == question.members();
  if (same && averaged_) return std::nullopt;
  if (same && failure_) return failure_;
  if (HasLeft(instance, question.iteration()))
    return Refuse(Code::Gone, "it has left " + IterationText(instance, question.iteration()));
  if (!newest) return NotBegun(instance, question.iteration());
  if (!same) return Refuse(Code::OtherMembers, "it combines the sums of other members, or other sums");
  Refusal refusal = Refuse(Code::NotYet, "it has not averaged its segment yet");
  refusal.progress = newest_->progress;
  return refusal;
}

bool Offers::IsAsked(std::span<const std::uint8_t> head) const {
  const schema::PeerRequest* const request = VerifyRequest(head);
  return request != nullptr && request->fl_name()->string_view() == fl_name_ &&
         request->receiver()->string_view() == node_id_;
}

Task<net::PeerAnswer> Offers::Answer(std::shared_ptr<Offers> self, std::span<const std::uint8_t> head) {
  const schema::PeerRequest* const request = VerifyRequest(head);
  if (request == nullptr) co_return Encoded(Refuse(Code::Invalid, "the request can't be read"));
  if (request->fl_name()->string_view() != self->fl_name_) {
    co_return Encoded(Refuse(Code::WrongReceiver, "it belongs to the job '" + self->fl_name_ + "', not to '" +
                                                      request->fl_name()->str() + "'"));
  }
  if (request->receiver()->string_view() != self->node_id_) {
    co_return Encoded(Refuse(Code::WrongReceiver,
                             "it is '" + self->node_id_ + "', not '" + request->receiver()->str() + "'"));
  }
  switch (request->question_type()) {
    case schema::PeerQuestion::SumQuestion:
      co_return co_await AnswerSum(self, *request);
    case schema::PeerQuestion::AverageQuestion:
      co_return co_await AnswerAverage(self, *request);
    case schema::PeerQuestion::ModelQuestion:
      co_return self->AnswerModel(*request);
    case schema::PeerQuestion::PieceQuestion:  // of recovery, which is asked first
    case schema::PeerQuestion::HoldQuestion:
    case schema::PeerQuestion::CopyQuestion:
    case schema::PeerQuestion::NONE:
      break;
  }
  co_return Encoded(Refuse(Code::Invalid, "it does not know this question"));
}

Task<net::PeerAnswer> Offers::AnswerSum(std::shared_ptr<Offers> self, const schema::PeerRequest& request) {
  const schema::SumQuestion& question = *request.question_as_SumQuestion();
  struct Given {
    std::shared_ptr<Combination> combination;
    std::shared_ptr<model::RunningSum> sum;
  };
  const auto given = std::make_shared<Given>();
  std::optional<Refusal> refusal;
  const auto decided = [&] {
    refusal = self->RefusalOfSum(question);
    given->combination = self->newest_;
    given->sum = self->sum_;
    return !MayChange(refusal);
  };
  const SteadyClock::time_point until = WaitsUntil(request);
  co_await self->waiters_.Wait(self->mutex_, until, decided);
  if (refusal) co_return Encoded(*refusal);
  const std::span<const double> sums = given->sum->sums();
  if (question.begin() >= question.end() || question.end() > sums.size())
    co_return Encoded(Refuse(Code::Invalid, "the sum has no such range"));
  const std::span<const double> range = sums.subspan(question.begin(), question.end() - question.begin());
  const std::vector<std::uint64_t>& sizes = given->combination->data_sizes;
  net::PeerAnswer answer;
  answer.payload.Add(sizes.data(), sizes.size() * sizeof sizes[0]);
  answer.payload.Add(range.data(), range.size_bytes());
  answer.owner = given;
  co_return answer;
}

Task<net::PeerAnswer> Offers::AnswerAverage(std::shared_ptr<Offers> self,
                                            const schema::PeerRequest& request) {
  const schema::AverageQuestion& question = *request.question_as_AverageQuestion();
  std::shared_ptr<Combination> given;
  std::optional<Refusal> refusal;
  const auto decided = [&] {
    refusal = self->RefusalOfAverage(question);
    given = self->newest_;
    return !MayChange(refusal);
  };
  const SteadyClock::time_point until = WaitsUntil(request);
  co_await self->waiters_.Wait(self->mutex_, until, decided);
  if (refusal) co_return Encoded(*refusal);
  const model::FlatRange own = given->segment();
  if (question.begin() >= question.end() || question.begin() < own.begin || question.end() > own.end)
    co_return Encoded(Refuse(Code::Invalid, "its segment has no such range"));
  const model::FlatRange range{question.begin(), question.end()};
  const model::ByteRange bytes = model::FloatBytes(given->model->layout(), range);
  net::PeerAnswer answer;
  answer.payload.Add(std::as_const(*given->model).float_bytes().data() + bytes.begin, bytes.size());
  answer.owner = given->model;
  co_return answer;
}

net::PeerAnswer Offers::AnswerModel(const schema::PeerRequest& request) {
  const std::string_view digest = request.question_as_ModelQuestion()->digest()->string_view();
  ModelSource source;
  {
    const std::lock_guard lock(mutex_);
    if (cancelled_) return Encoded(Refuse(Code::Stopping, "it is stopping"));
    source = source_;
  }
  const std::shared_ptr<const model::Model> model = source ? source(digest) : nullptr;
  if (model == nullptr) {
    return Encoded(
        Refuse(Code::ModelUnknown, "it holds no model '" + std::string(digest.substr(0, 64)) + "'"));
  }
  net::PeerAnswer answer;
  answer.payload.Add(model->float_bytes().data(), model->float_bytes().size());
  answer.owner = model;
  return answer;
}

}  // namespace msfl::collective
