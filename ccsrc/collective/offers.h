// What this Server gives to others that ask: its sum, the averages of its segment, models.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/task.h"
#include "base/wait_list.h"
#include "collective/combination.h"
#include "collective/exchange.h"
#include "collective/messages.h"
#include "model/running_sum.h"
#include "net/peer_server.h"

namespace msfl::collective {

// Thread-safe.
class Offers {
 public:
  Offers(std::string fl_name, std::string node_id)
      : fl_name_(std::move(fl_name)), node_id_(std::move(node_id)) {}

  // In place of the combination before. The sum is sealed.
  void Begin(std::shared_ptr<Combination> combination, std::shared_ptr<model::RunningSum> sum);
  // Its segment is averaged, or will not be.
  void SetAveraged(const Combination& combination);
  void SetFailed(const Combination& combination, const Error& why);
  void Leave(std::string_view instance, std::uint64_t iteration);
  void GoBack(std::string_view instance, std::uint64_t iteration);
  void SetModelSource(ModelSource source);
  void Cancel();

  bool cancelled() const;
  const std::string& fl_name() const { return fl_name_; }
  const std::string& node_id() const { return node_id_; }

  // A request of this job, to this Server.
  bool IsAsked(std::span<const std::uint8_t> head) const;
  static Task<net::PeerAnswer> Answer(std::shared_ptr<Offers> self, std::span<const std::uint8_t> head);

 private:
  using Code = schema::PeerRefusalCode;
  static Task<net::PeerAnswer> AnswerSum(std::shared_ptr<Offers> self, const schema::PeerRequest& request);
  static Task<net::PeerAnswer> AnswerAverage(std::shared_ptr<Offers> self,
                                             const schema::PeerRequest& request);
  net::PeerAnswer AnswerModel(const schema::PeerRequest& request);

  // mutex_ held:
  bool HasLeft(std::string_view instance, std::uint64_t iteration) const;
  bool IsNewest(std::string_view instance, std::uint64_t iteration) const;
  // Why a sum, or an average, is not given.
  std::optional<Refusal> RefusalOfSum(const schema::SumQuestion& question) const;
  std::optional<Refusal> RefusalOfAverage(const schema::AverageQuestion& question) const;
  Refusal NotBegun(std::string_view instance, std::uint64_t iteration) const;

  const std::string fl_name_, node_id_;
  mutable std::mutex mutex_;
  WaitList waiters_;
  bool cancelled_ = false;
  std::shared_ptr<Combination> newest_;
  std::shared_ptr<model::RunningSum> sum_;  // of the newest, until it is left
  bool averaged_ = false;
  std::optional<Refusal> failure_;
  struct Left {
    std::string instance;
    std::uint64_t iteration;  // the newest that was left
  };
  std::vector<Left> left_;  // newest last
  ModelSource source_;
};

}  // namespace msfl::collective
