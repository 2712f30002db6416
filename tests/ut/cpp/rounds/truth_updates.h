// What devices send in the test of the truth of the sum, what became of it, and whether a model holds exactly
// that. All values are whole numbers, small enough for every sum to be exact in float64 in any order.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "job/job.h"
#include "model/layout.h"
#include "rounds/wire_format.h"

namespace msfl::rounds::truth {

// `who` has an element for each device: the model tells who is in it, and with which content, since the n-th
// content of a device in an iteration is marked by 8^n (so twice the same one shows as well).
inline constexpr std::size_t kContents = 7;
inline float Mark(std::size_t content) { return static_cast<float>(1U << (3 * content)); }

inline std::uint64_t Mix(std::uint64_t x) {  // splitmix64
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}
inline float Whole(std::uint64_t seed, std::size_t element) {
  return static_cast<float>(Mix(seed ^ (element * 0xD6E8FEB86659FD93U)) % 201) - 100;
}

struct Sizes {
  std::size_t devices = 0, numbers = 0, part = 5;
};

inline std::shared_ptr<const model::Layout> MakeLayout(const Sizes& sizes) {
  const auto feature = [](const char* name, std::size_t elements, bool require_aggr) {
    model::Feature made;
    made.name = name;
    made.elements = elements;
    made.shape = {static_cast<std::int64_t>(elements)};
    made.require_aggr = require_aggr;
    return made;
  };
  return *model::Layout::Make({feature("who", sizes.devices, true), feature("numbers", sizes.numbers, true),
                               feature("part", sizes.part, true), feature("fixed", 3, false)});
}

enum class Fate { kRefused, kUnknown, kAcknowledged };
enum class Wrong {
  kNothing,
  kNaN,
  kInfinity,
  kNaNInFixed,
  kNaNLoss,
  kShort,
  kLong,
  kUnknownName,
  kTwice,
  kNoFeature,
  kNoName,
  kNoTimestamp,
  kSignDs,
  kCompressed,
  kGarbage,
  kCount
};

struct Content {
  std::uint64_t seed = 0;
  std::uint64_t factor = 1;  // its values are multiplied by the data size already
  bool has_numbers = true, has_part = true, has_fixed = false;
  Wrong wrong = Wrong::kNothing;
  Fate fate = Fate::kRefused;  // until more is known
  int acknowledged = 0;

  double Sum(float number) const { return static_cast<double>(factor) * static_cast<double>(number); }
  float loss() const { return static_cast<float>(seed % 1000); }
};

// One device in one iteration.
struct Entry {
  std::uint64_t data_size = 1;
  std::vector<Content> contents;
};
using Ledger = std::map<std::pair<std::uint64_t /*iteration*/, std::size_t /*device*/>, Entry>;

inline std::string DeviceName(std::size_t device) { return "device-" + std::to_string(device); }

inline std::vector<std::uint8_t> EncodeUpdate(const Sizes& sizes, std::size_t device, std::uint64_t iteration,
                                              const Content& content, std::size_t index) {
  flatbuffers::FlatBufferBuilder builder(4 * (sizes.devices + sizes.numbers) + 1024);
  const Wrong wrong = content.wrong;
  std::vector<float> who(sizes.devices, 0), numbers(sizes.numbers), part(sizes.part);
  who[device] = Mark(index);
  const auto factor = static_cast<float>(content.factor);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = factor * Whole(content.seed, i);
  for (std::size_t i = 0; i < part.size(); ++i) part[i] = factor * Whole(~content.seed, i);
  const std::size_t where = content.seed % numbers.size();
  if (wrong == Wrong::kNaN) numbers[where] = std::numeric_limits<float>::quiet_NaN();
  if (wrong == Wrong::kInfinity) numbers[where] = -std::numeric_limits<float>::infinity();
  if (wrong == Wrong::kShort) numbers.pop_back();
  if (wrong == Wrong::kLong) numbers.push_back(1);
  std::vector<float> fixed{1, 1, wrong == Wrong::kNaNInFixed ? std::numeric_limits<float>::quiet_NaN() : 1};

  std::vector<flatbuffers::Offset<schema::FeatureMap>> features;
  const auto add = [&](const char* name, const std::vector<float>& values) {
    const auto text = builder.CreateString(name);
    features.push_back(schema::CreateFeatureMap(builder, text, builder.CreateVector(values)));
  };
  if (wrong != Wrong::kNoFeature) {
    add("who", who);
    if (content.has_part) add("part", part);
    if (content.has_numbers || wrong != Wrong::kNothing) {
      add(wrong == Wrong::kUnknownName ? "Numbers" : "numbers", numbers);
    }
    if (content.has_fixed || wrong == Wrong::kNaNInFixed) add("fixed", fixed);
    if (wrong == Wrong::kTwice) add("who", who);
  }
  const auto map = builder.CreateVector(features);
  const auto id = builder.CreateString(DeviceName(device));
  const auto time = builder.CreateString("any");
  schema::RequestUpdateModelBuilder request(builder);
  if (wrong != Wrong::kNoName) request.add_fl_id(id);
  request.add_iteration(static_cast<std::int32_t>(iteration));
  request.add_feature_map(map);
  if (wrong != Wrong::kNoTimestamp) request.add_timestamp(time);
  request.add_upload_loss(wrong == Wrong::kNaNLoss ? std::numeric_limits<float>::quiet_NaN()
                                                   : content.loss());
  if (wrong == Wrong::kSignDs) request.add_sign(1);
  if (wrong == Wrong::kCompressed) {
    request.add_upload_compress_type(schema::CompressType::DIFF_SPARSE_QUANT);
  }
  builder.Finish(request.Finish());
  std::vector<std::uint8_t> bytes = Bytes(builder);
  if (wrong == Wrong::kGarbage) bytes.resize(bytes.size() / 2);
  return bytes;
}

// What devices can download of a model, in few bits.
template <class Values>
void AddToPrint(std::uint64_t& print, const Values& values) {
  for (const float value : values) print = Mix(print ^ std::bit_cast<std::uint32_t>(value));
}
inline std::uint64_t Print(const model::Model& model) {
  std::uint64_t print = 0;
  for (const char* name : {"numbers", "part", "who"}) {
    AddToPrint(print, model.values(*model.layout().Find(name)));
  }
  return print;
}
// 0 if a feature is missing.
template <class Map>
std::uint64_t Print(const Map* map) {
  std::uint64_t print = 0;
  for (const char* name : {"numbers", "part", "who"}) {
    bool found = false;
    for (const schema::FeatureMap* feature : *map) {
      if (feature->weight_fullname()->string_view() != name) continue;
      AddToPrint(print, *feature->data());
      found = true;
    }
    if (!found) return 0;
  }
  return print;
}

// Whether `ended` is the mean of exactly the updates that the ledger says are in it. `exact`: data sizes are
// 1 and the number of updates is a power of two, so that a mean is as exact as its sum.
class Check {
 public:
  Check(const Sizes& sizes, const Ledger& ledger, bool exact)
      : sizes_(sizes), ledger_(ledger), exact_(exact) {}

  void Iteration(const job::IterationEnded& ended, const model::Model& previous) {
    SCOPED_TRACE("iteration " + std::to_string(ended.key.number) + ": " + ended.reason);
    const std::uint64_t number = ended.key.number;
    if (!ended.valid) {
      EXPECT_EQ(Print(*ended.model), Print(previous)) << "an invalid iteration changed the model";
      return;
    }
    const model::Layout& layout = ended.model->layout();
    const std::span<const float> who = ended.model->values(*layout.Find("who"));
    std::vector<std::pair<std::size_t, const Entry*>> members;
    std::uint64_t total = 0;
    for (std::size_t device = 0; device < who.size(); ++device) {
      if (who[device] == 0) continue;
      const auto found = ledger_.find({number, device});
      if (found == ledger_.end()) {
        ADD_FAILURE() << DeviceName(device) << " is in the model and sent nothing: " << who[device];
        return;
      }
      members.emplace_back(device, &found->second);
      total += found->second.data_size;
    }
    updates = members.size();
    std::vector<std::pair<const Content*, std::uint64_t>> summed;
    for (const auto& [device, entry] : members) {
      const double sum = std::round(static_cast<double>(who[device]) * static_cast<double>(total));
      std::size_t index = 0;
      while (index < entry->contents.size() && sum != static_cast<double>(Mark(index))) ++index;
      if (index == entry->contents.size()) {
        ADD_FAILURE() << DeviceName(device) << " is in the model with " << sum << " (octal digits count its "
                      << entry->contents.size() << " contents)";
        return;
      }
      const Content& content = entry->contents[index];
      EXPECT_EQ(content.wrong, Wrong::kNothing);
      EXPECT_NE(content.fate, Fate::kRefused)
          << DeviceName(device) << " is in the model with content " << index << ", which was refused";
      summed.emplace_back(&content, entry->data_size);
      unknown_in += content.fate == Fate::kUnknown;
    }
    Acknowledged(number, summed);
    Values("who", *ended.model, previous, [&](std::vector<double>& sums) {
      for (std::size_t i = 0; i < members.size(); ++i) {
        const std::size_t index =
            static_cast<std::size_t>(summed[i].first - members[i].second->contents.data());
        sums[members[i].first] += static_cast<double>(Mark(index));
      }
      return total;
    });
    Values("numbers", *ended.model, previous, [&](std::vector<double>& sums) {
      std::uint64_t divisor = 0;
      for (const auto& [content, data_size] : summed) {
        if (!content->has_numbers) continue;
        divisor += data_size;
        for (std::size_t i = 0; i < sums.size(); ++i) {
          sums[i] += content->Sum(Whole(content->seed, i));
        }
      }
      return divisor;
    });
    Values("part", *ended.model, previous, [&](std::vector<double>& sums) {
      std::uint64_t divisor = 0;
      for (const auto& [content, data_size] : summed) {
        if (!content->has_part) continue;
        divisor += data_size;
        for (std::size_t i = 0; i < sums.size(); ++i) {
          sums[i] += content->Sum(Whole(~content->seed, i));
        }
      }
      return divisor;
    });
    Values("fixed", *ended.model, previous, [](std::vector<double>&) { return 0; });
    double loss = 0;
    for (const auto& [content, data_size] : summed) {
      loss += static_cast<double>(content->loss()) * static_cast<double>(data_size);
    }
    EXPECT_EQ(ended.metric_sums.Mean().loss, loss / static_cast<double>(total));
    EXPECT_EQ(ended.visits.at("updateModelAcceptClientNum"), members.size());
  }

  std::size_t updates = 0;     // in the last valid iteration that was checked
  std::size_t unknown_in = 0;  // altogether: their devices never heard that they count

 private:
  void Acknowledged(std::uint64_t number,
                    const std::vector<std::pair<const Content*, std::uint64_t>>& summed) const {
    std::size_t in_model = 0, in_ledger = 0;
    for (const auto& [content, data_size] : summed) in_model += content->fate == Fate::kAcknowledged;
    for (auto it = ledger_.lower_bound({number, 0}); it != ledger_.end() && it->first.first == number; ++it) {
      int answers = 0;
      for (const Content& content : it->second.contents) {
        in_ledger += content.fate == Fate::kAcknowledged;
        answers += content.acknowledged > 0 ? 1 : 0;
      }
      EXPECT_LE(answers, 1) << DeviceName(it->first.second) << " was told of several updates that they count";
    }
    EXPECT_EQ(in_model, in_ledger) << "an acknowledged update is not in the model";
  }

  template <class Sum>
  void Values(const char* name, const model::Model& model, const model::Model& previous,
              const Sum& sum) const {
    const std::size_t feature = *model.layout().Find(name);
    const std::span<const float> values = model.values(feature);
    std::vector<double> sums(values.size(), 0);
    const auto divisor = static_cast<double>(sum(sums));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      bool right = false;
      if (divisor == 0) {
        right = values[i] == previous.values(feature)[i];
      } else if (exact_ && std::has_single_bit(static_cast<std::uint64_t>(divisor))) {
        right = static_cast<double>(values[i]) * divisor == sums[i];
      } else {
        right = values[i] == static_cast<float>(sums[i] / divisor);
      }
      if (!right && wrong++ == 0) {
        ADD_FAILURE() << name << "[" << i << "] is " << values[i] << ", the sum is " << sums[i] << " of "
                      << divisor;
      }
    }
    EXPECT_EQ(wrong, 0U) << "elements of " << name;
  }

  const Sizes sizes_;
  const Ledger& ledger_;
  const bool exact_;
};

}  // namespace msfl::rounds::truth
