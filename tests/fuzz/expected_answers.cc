// ServedRounds: what each request has to be answered, and what has to come of it.
#include "rounds/plain_text.h"
#include "served_rounds.h"

namespace msfl::fuzz {
namespace {

constexpr std::int32_t kAccepted = 200, kNotReady = 201, kLater = 300, kBad = 400;

constexpr std::size_t kLongestName = 256;  // limits.fl_id_bytes

std::string TooLong(const std::string& fl_id) {
  return "The fl_id has " + std::to_string(fl_id.size()) + " bytes, which is more than the limit of " +
         std::to_string(kLongestName) + " bytes";
}

}  // namespace

std::string ServedRounds::Refusal(std::string_view round) const {
  if (Cache().state == 1) return std::string(rounds::kDisabledText);
  if (Cache().state == 2 && !round.starts_with("get")) return std::string(rounds::kDisabledText);
  return {};
}

void ServedRounds::Compare(const Asked& asked, const std::optional<Answer>& answer,
                           const Expected& expected) const {
  const std::string text(asked.answer.begin(), asked.answer.end());
  if (!expected.plain.empty()) {
    if (text != expected.plain) Broken(asked.path + " answers the plain text: " + expected.plain);
    return;
  }
  if (!answer) Broken(asked.path + " answers with a valid message; expected: " + expected.reason);
  if (answer->retcode != expected.retcode || !answer->reason.starts_with(expected.reason)) {
    Broken(asked.path + " answers " + std::to_string(expected.retcode) + " " + expected.reason +
           "; got: " + std::to_string(answer->retcode) + " " + answer->reason);
  }
}

void ServedRounds::Ask(std::string_view round, ByteView body) {
  if (body.empty()) return;  // net refuses it
  if (round == "startFLJob") {
    AskStart(body);
  } else if (round == "updateModel") {
    AskUpdate(body);
  } else {
    AskModel(body, round == "getResult");
  }
}

void ServedRounds::AskStart(ByteView body) {
  const CacheRecord before = Cache();
  const std::optional<StartRequest> request = DecodeStart(body);
  Expected expected;
  expected.plain = Refusal("startFLJob");
  bool accepted = false, joins = false;
  if (!expected.plain.empty()) {
    // Nothing else matters.
  } else if (!request) {
    expected = {kBad, "The schema of RequestFLJob is invalid.", ""};
  } else if (!request->complete) {
    expected.plain = rounds::kStartFieldsText;
  } else if (request->fl_id.size() > kLongestName) {
    expected = {kBad, TooLong(request->fl_id), ""};
  } else {
    const auto device = before.devices.find(request->fl_id);
    const bool sizes_fit = request->data_size >= 1 && request->data_size <= 65535;
    const bool again = device != before.devices.end() && device->second.nonce == "*" && sizes_fit;
    expected.retcode = kLater;
    if (before.started >= rules_.start_threshold && !again) {
      expected.reason = "Current amount for startFLJob has reached the threshold.";
    } else if (!sizes_fit) {
      expected.reason = request->data_size < 0 || request->data_size > 65535
                            ? "FL job data size is too large."
                            : "FL job data size is not enough.";
    } else if (device != before.devices.end() && !again) {
      expected.reason = "Updating device metadata failed for fl id " + request->fl_id;
    } else {
      expected.retcode = kAccepted;
      expected.reason = "success";
      accepted = true;
      joins = !again;
    }
  }
  const auto asked = Send("startFLJob", body);
  if (!asked->done) return;
  const std::optional<Answer> answer = DecodeStartAnswer(asked->answer);
  Compare(*asked, answer, expected);
  if (expected.plain.empty()) {
    Promise(answer->has_plan, "every answer of startFLJob has the plan");
    Promise(answer->iteration == static_cast<std::int32_t>(before.iteration),
            "an answer names the iteration");
    accepted = accepted && answer->retcode == kAccepted;
    Promise(answer->is_selected == accepted, "only who is accepted is selected");
    Promise(answer->features == (accepted ? ModelOf(-1) : Values()), "who is accepted gets the model");
  }
  if (accepted) {
    const CacheRecord::Device& device = Cache().devices.at(request->fl_id);
    Promise(device.data_size == static_cast<std::uint64_t>(request->data_size) &&
                device.eval_data_size ==
                    static_cast<std::uint64_t>(request->eval_data_size > 0 ? request->eval_data_size : 0),
            "a device is recorded with its data sizes");
  }
  Promise(Cache().started == before.started + (accepted && joins ? 1 : 0),
          "who is accepted is counted, once");
  CheckSum(*job_->gate().Look().iteration);
}

void ServedRounds::AskUpdate(ByteView body) {
  const CacheRecord before = Cache();
  const std::optional<Upload> upload = DecodeUpload(body, model_rules_);
  Expected expected;
  expected.plain = Refusal("updateModel");
  std::uint64_t data_size = 0;
  if (!expected.plain.empty()) {
    // Nothing else matters.
  } else if (!upload) {
    expected = {kBad, "The schema of RequestUpdateModel is invalid.", ""};
  } else if (!upload->complete) {
    expected = {kBad, "Verify flatbuffers schema failed for RequestUpdateModel.", ""};
  } else if (upload->fl_id.size() > kLongestName) {
    expected = {kBad, TooLong(upload->fl_id), ""};
  } else {
    const auto device = before.devices.find(upload->fl_id);
    if (device != before.devices.end()) {
      data_size = device->second.data_size;
    } else if (before.everybody_joined) {
      data_size = UnaskedDataSize(upload->fl_id);
    }
    expected.retcode = kLater;
    if (before.leased + before.counted >= rules_.update_threshold) {
      expected.reason = "Current amount for updateModel is enough.";
    } else if (data_size == 0) {
      expected.reason = "devices_meta for " + upload->fl_id + " is not set.";
    } else if (upload->iteration != static_cast<std::int64_t>(before.iteration)) {
      expected.reason = "UpdateModel iteration number is invalid:" + std::to_string(upload->iteration);
    } else if (!upload->fits) {
      expected.retcode = kBad;
      expected.reason = "Verify model feature map failed, retry later at time: ";
    } else if (before.updates.contains(upload->fl_id)) {
      expected.reason = "Updating metadata of UpdateModelClientList failed for fl id " + upload->fl_id;
    } else {
      expected.retcode = kAccepted;
      expected.reason = "success not ready";
    }
  }
  const auto asked = Send("updateModel", body);
  if (!asked->done) return;
  const std::optional<Answer> answer = DecodeUploadAnswer(asked->answer);
  Compare(*asked, answer, expected);
  const bool accepted = expected.plain.empty() && answer->retcode == kAccepted;
  if (accepted) {
    ++accepted_;
    for (const auto& [name, values] : upload->features) {
      if (!model_rules_.at(name).aggregated) continue;
      std::vector<double>& sums = sums_[name];
      sums.resize(values.size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        // As what is summed, the first upload brings its -0.0 along.
        sums[i] = divisors_[name] == 0 && accepted_ == 1 ? values[i] : sums[i] + values[i];
      }
      divisors_[name] += data_size;
    }
  }
  if (accepted && before.counted + 1 == rules_.update_threshold) {
    models_[before.iteration] = AverageNow(ModelOf(-1));
    sums_.clear();
    divisors_.clear();
    accepted_ = 0;
    const job::Iteration& now = *job_->gate().Look().iteration;
    Promise(now.number() == before.iteration + 1, "the last update ends the iteration");
    Promise(Cache().valid, "an iteration that is complete is valid");
    CheckModel(*now.start_model(), ModelOf(-1), "the model is the average of what was acknowledged");
  } else {
    Promise(Cache().counted == before.counted + (accepted ? 1 : 0), "who is acknowledged is counted, once");
    Promise(Cache().leased == 0, "no place stays reserved");
  }
  CheckSum(*job_->gate().Look().iteration);
}

void ServedRounds::AskModel(ByteView body, bool result) {
  const CacheRecord before = Cache();
  const std::optional<std::int32_t> wanted = result ? DecodeGetResult(body) : DecodeGetModel(body);
  const std::string what = result ? "Result" : "Model";
  Expected expected;
  expected.plain = Refusal(result ? "getResult" : "getModel");
  // Who asks for the first iteration of an instance that followed another may mean the one before.
  const bool awaited = before.iteration > 1 || job_->gate().Look().iteration->began_ms != 0;
  if (!expected.plain.empty()) {
    // Nothing else matters.
  } else if (!wanted) {
    expected = {kBad, "The schema of RequestGet" + what + " is invalid.", ""};
  } else if (*wanted == static_cast<std::int64_t>(before.iteration) && awaited) {
    expected = {kNotReady, "The model is not ready yet for iteration " + std::to_string(*wanted) + ".", ""};
  } else {
    expected = {
        kAccepted,
        "Get " + std::string(result ? "result" : "model") + " for iteration " + std::to_string(*wanted), ""};
  }
  const auto asked = Send(result ? "getResult" : "getModel", body);
  if (!asked->done) {
    Promise(expected.retcode == kNotReady && rules_.hold_ms > 0, "only who asks too early waits");
    return;
  }
  const std::optional<Answer> answer =
      result ? DecodeResultAnswer(asked->answer) : DecodeModelAnswer(asked->answer);
  Compare(*asked, answer, expected);
  if (!expected.plain.empty() || result) return;
  std::optional<Values> features;
  if (expected.retcode == kAccepted) {
    features.emplace();
    for (const auto& [name, values] : ModelOf(*wanted)) {
      if (model_rules_.at(name).aggregated) features->emplace(name, values);
    }
  }
  Promise(answer->features == features, "getModel hands out the model of the iteration");
}

}  // namespace msfl::fuzz
