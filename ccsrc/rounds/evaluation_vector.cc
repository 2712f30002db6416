#include "rounds/evaluation_vector.h"

#include "base/log.h"

namespace msfl::rounds {

std::string EvaluationVector(const schema::RequestUpdateModel& message) {
  std::string vector;
  if (message.unsupervised_eval_items() == nullptr) return vector;
  const auto& items = *message.unsupervised_eval_items()->eval_items();
  std::uint64_t floats = 0;
  for (const schema::UnsupervisedEvalItem* item : items) floats += item->eval_data()->size();
  if (floats > kMaxEvaluationFloats) {
    MSFL_LOG(kWarning, "evaluation items are ignored: fl_id=" << message.fl_id()->string_view()
                                                              << " floats=" << floats
                                                              << " allowed=" << kMaxEvaluationFloats);
    return vector;
  }
  vector.reserve(floats * sizeof(float));
  // The wire is little-endian, whatever the machine is.
  for (const schema::UnsupervisedEvalItem* item : items) {
    vector.append(reinterpret_cast<const char*>(item->eval_data()->Data()),
                  item->eval_data()->size() * sizeof(float));
  }
  return vector;
}

}  // namespace msfl::rounds
