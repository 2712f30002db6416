// One thread's share of the devices: they start, train, upload, and all that goes wrong on the way. It keeps
// a ledger of what each sent and heard.
#pragma once

#include <array>
#include <atomic>
#include <set>
#include <string>
#include <vector>

#include "rounds/plain_text.h"
#include "rounds/truth_flight.h"
#include "rounds/truth_updates.h"

namespace msfl::rounds::truth {

struct Manner {
  std::size_t batch = 12;  // devices of one thread that are busy at the same time, at most
  double fault = 0.2;      // that a connection is cut
  double wrong = 0.1;      // that an update is wrong before it is right
  double partial = 0.2;    // that a tensor is missing
  double abandon = 0;      // that a device starts and never uploads
  bool one_each = false;   // data_size 1, else random
};

class Crowd {
 public:
  // Devices first, first + step, ... of `sizes.devices`. `spare`: places of an iteration that may be wasted.
  Crowd(std::uint16_t port, const Sizes& sizes, const Manner& manner, std::uint64_t seed, std::size_t first,
        std::size_t step, std::vector<std::atomic<std::size_t>>& spare)
      : port_(port), sizes_(sizes), manner_(manner), dice_(seed), first_(first), step_(step), spare_(spare) {}

  void Run(const std::atomic<bool>& stop) {
    while (!stop && !disabled_) Turn();
  }

  Ledger ledger;
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;  // iteration and print of models it downloaded
  std::vector<std::string> complaints;

 private:
  struct Device {
    std::size_t number = 0;
    std::uint64_t iteration = 0;  // that it believes to be in
    bool joined = false, unsure = false;
  };

  void Turn() {
    std::vector<Device> devices = Choose();
    Start(devices);
    std::vector<Device> busy;
    for (const Device& device : devices) {
      if (device.joined && dice_.Chance(manner_.abandon) && TakeSpare(device.iteration)) continue;
      if (device.joined || device.unsure || dice_.Chance(0.2)) busy.push_back(device);
    }
    for (int attempt = 0; !busy.empty() && !disabled_; ++attempt) busy = Upload(busy, attempt);
    if (dice_.Chance(0.3)) Ask();
  }

  std::vector<Device> Choose() {
    const std::size_t mine = (sizes_.devices - first_ + step_ - 1) / step_;
    std::set<std::size_t> numbers;
    for (std::size_t i = 1 + dice_.Below(manner_.batch); i > 0; --i) {
      numbers.insert(first_ + step_ * dice_.Below(mine));
    }
    std::vector<Device> devices;
    for (const std::size_t number : numbers) devices.push_back({number, latest_, false, false});
    return devices;
  }

  bool TakeSpare(std::uint64_t iteration) {
    std::atomic<std::size_t>& left = spare_[iteration];
    std::size_t count = left;
    while (count > 0 && !left.compare_exchange_weak(count, count - 1)) {
    }
    return count > 0;
  }

  // --- startFLJob ---

  std::uint64_t UsualSize(std::size_t device) const {
    if (manner_.one_each) return 1;
    const std::uint64_t number = Mix(device);
    return number % 4 == 0 ? 1 + number % 65535 : 1 + number % 40;
  }

  void AppendStart(Flight& flight, Device& device, std::uint64_t data_size) {
    flatbuffers::FlatBufferBuilder builder;
    const auto name = builder.CreateString("truth");
    const auto id = builder.CreateString(DeviceName(device.number));
    const auto time = builder.CreateString("any");
    builder.Finish(
        schema::CreateRequestFLJob(builder, name, id, 0, static_cast<std::int32_t>(data_size), time));
    const std::string request = Frame(dice_, "/startFLJob", Bytes(builder));
    flight.Append(request, [this, &device, data_size](Heard heard, const std::string& body) {
      if (heard == Heard::kNothing) device.unsure = true;
      if (heard == Heard::kAnswer) Started(device, data_size, body);
    });
  }

  void Started(Device& device, std::uint64_t data_size, const std::string& body) {
    const auto* answer = Read<schema::ResponseFLJob>(body);
    if (answer == nullptr) return;
    const auto iteration = static_cast<std::uint64_t>(answer->iteration());
    latest_ = std::max(latest_, iteration);
    if (answer->retcode() != kSucceed) return;
    if (device.joined && device.iteration > iteration) return;
    device.iteration = iteration;
    device.joined = true;
    EntryOf(device.number, iteration).data_size = data_size;
    if (dice_.Chance(0.1)) seen.emplace(iteration - 1, Print(answer->feature_map()));
  }

  void Start(std::vector<Device>& devices) {
    std::vector<Flight> flights;
    for (Device& device : devices) {
      Flight& flight = flights.emplace_back(Fresh());
      AppendStart(flight, device, UsualSize(device.number));
      if (dice_.Chance(0.05)) AppendStart(flight, device, UsualSize(device.number));
      if (dice_.Chance(manner_.fault / 2)) LetVanish(dice_, flight);
      if (!flight.cut && !manner_.one_each && dice_.Chance(0.05)) {
        AppendStart(flight, device, 1 + dice_.Below(65535));  // if it has joined, this changes nothing
      } else if (dice_.Chance(0.1)) {
        AppendStart(flights.emplace_back(Fresh()), device, UsualSize(device.number));
      }
    }
    Go(flights);
  }

  // --- updateModel ---

  Entry& EntryOf(std::size_t device, std::uint64_t iteration) {
    const auto [at, made] = ledger.try_emplace({iteration, device});
    if (made) {
      at->second.data_size = UsualSize(device);
      at->second.contents.reserve(kContents);  // answers find their content by its address
    }
    return at->second;
  }

  // Null when the device has sent as many different ones as the model can tell apart.
  Content* NewContent(Entry& entry, bool wrong) {
    if (entry.contents.size() == kContents) return nullptr;
    Content& content = entry.contents.emplace_back();
    content.seed = dice_.Number();
    content.factor = entry.data_size;
    content.has_numbers = !dice_.Chance(manner_.partial);
    content.has_part = !dice_.Chance(manner_.partial * 2);
    content.has_fixed = dice_.Chance(0.2);
    if (wrong)
      content.wrong = static_cast<Wrong>(1 + dice_.Below(static_cast<std::size_t>(Wrong::kCount) - 1));
    return &content;
  }

  std::string Request(std::size_t device, std::uint64_t iteration, const Entry& entry,
                      const Content& content) {
    const auto index = static_cast<std::size_t>(&content - entry.contents.data());
    return Frame(dice_, "/updateModel", EncodeUpdate(sizes_, device, iteration, content, index));
  }

  void AppendUpdate(Flight& flight, const std::string& request, Device* device, Content& content) {
    flight.Append(request, [this, device, &content](Heard heard, const std::string& body) {
      if (heard == Heard::kNothing && content.fate == Fate::kRefused) content.fate = Fate::kUnknown;
      if (heard == Heard::kAnswer) Updated(device, content, body);
    });
  }

  void Updated(Device* device, Content& content, const std::string& body) {
    const auto* answer = Read<schema::ResponseUpdateModel>(body);
    if (answer == nullptr) return;
    if (answer->retcode() == kSucceed) {
      content.fate = Fate::kAcknowledged;
      ++content.acknowledged;
      if (content.wrong != Wrong::kNothing) {
        complaints.push_back("a wrong update was accepted, kind " +
                             std::to_string(static_cast<int>(content.wrong)));
      }
    }
    if (device != nullptr && content.wrong == Wrong::kNothing) device->joined = false;  // it has its answer
  }

  // Returns those that have to try again.
  std::vector<Device> Upload(std::vector<Device>& devices, int attempt) {
    std::vector<Flight> flights;
    for (Device& device : devices) {
      const std::uint64_t iteration = std::max<std::uint64_t>(device.iteration, 1);
      Entry& entry = EntryOf(device.number, iteration);
      device.joined = true;
      const bool last = attempt == 3;
      const bool wrong = !last && dice_.Chance(manner_.wrong);
      // A device that heard nothing sends the same once more, or has trained again meanwhile.
      Content* content =
          !wrong && !entry.contents.empty() && dice_.Chance(0.7) ? &entry.contents.back() : nullptr;
      if (content != nullptr && content->wrong != Wrong::kNothing) content = nullptr;
      if (content == nullptr) content = NewContent(entry, wrong);
      if (content == nullptr) {
        device.joined = false;
        continue;
      }
      const std::string request = Request(device.number, iteration, entry, *content);
      Flight& flight = flights.emplace_back(Fresh());
      // Not before a large update: who sends on instead of reading a large answer blocks its own way.
      if (sizes_.numbers < 1000 && dice_.Chance(0.03)) AppendStart(flight, device, entry.data_size);
      AppendUpdate(flight, request, &device, *content);
      if (dice_.Chance(0.1)) AppendUpdate(flight, request, nullptr, *content);  // pipelined
      if (dice_.Chance(0.15)) flight.pieces = 2 + dice_.Below(5);
      if (!last && dice_.Chance(manner_.fault)) LetVanish(dice_, flight);
      // At the same time over another connection: the same, or another one.
      if (dice_.Chance(0.1)) AppendUpdate(flights.emplace_back(Fresh()), request, nullptr, *content);
      if (dice_.Chance(0.1)) AppendStray(flights, device.number, iteration);
      // Late, or ahead of time.
      if (dice_.Chance(0.05) && iteration > 1) AppendStray(flights, device.number, iteration - 1);
      if (dice_.Chance(0.05)) AppendStray(flights, device.number, iteration + 1);
    }
    Go(flights);
    std::vector<Device> again;
    for (const Device& device : devices) {
      if (device.joined && attempt < 3) again.push_back(device);
    }
    return again;
  }

  void AppendStray(std::vector<Flight>& flights, std::size_t device, std::uint64_t iteration) {
    Entry& entry = EntryOf(device, iteration);
    Content* content = !entry.contents.empty() && dice_.Chance(0.5) ? &entry.contents.front() : nullptr;
    if (content == nullptr) content = NewContent(entry, false);
    if (content == nullptr) return;
    Flight& flight = flights.emplace_back(Fresh());
    AppendUpdate(flight, Request(device, iteration, entry, *content), nullptr, *content);
    if (dice_.Chance(manner_.fault)) LetVanish(dice_, flight);
  }

  // --- getModel ---

  void Ask() {
    if (latest_ < 2) return;
    const std::uint64_t wanted = latest_ - 1;
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(schema::CreateRequestGetModel(builder, 0, static_cast<std::int32_t>(wanted)));
    std::vector<Flight> flights;
    flights.push_back(Fresh());
    flights.back().Append(Frame(dice_, "/getModel", Bytes(builder)), [&](Heard, const std::string& body) {
      const auto* answer = Read<schema::ResponseGetModel>(body);
      if (answer == nullptr || answer->retcode() != kSucceed) return;
      const auto now = static_cast<std::uint64_t>(answer->iteration());
      latest_ = std::max(latest_, now);
      if (now == wanted + 1) seen.emplace(wanted, Print(answer->feature_map()));
    });
    Go(flights);
  }

  // --- connections ---

  // Null for an answer in plain text.
  template <class Table>
  const Table* Read(const std::string& body) {
    if (body == kDisabledText) disabled_ = true;
    if (body == kDisabledText || body == kSafemodeText || body == kStartFieldsText) return nullptr;
    aligned_.assign(body.begin(), body.end());
    flatbuffers::Verifier verifier(aligned_.data(), aligned_.size());
    if (verifier.VerifyBuffer<Table>(nullptr)) return flatbuffers::GetRoot<Table>(aligned_.data());
    complaints.push_back("an answer is neither a table nor a known text: " + body.substr(0, 100));
    return nullptr;
  }

  Flight Fresh() {
    Flight flight;
    if (!idle_.empty() && dice_.Chance(0.9)) {
      flight.client = std::move(idle_.back());
      idle_.pop_back();
    } else {
      flight.client = std::make_unique<test::HttpClient>(port_);
    }
    return flight;
  }

  void Go(std::vector<Flight>& flights) {
    Fly(dice_, flights);
    for (Flight& flight : flights) {
      if (!flight.cut && idle_.size() < 2 * manner_.batch) idle_.push_back(std::move(flight.client));
    }
  }

  const std::uint16_t port_;
  const Sizes sizes_;
  const Manner manner_;
  Dice dice_;
  const std::size_t first_, step_;
  std::vector<std::atomic<std::size_t>>& spare_;
  std::uint64_t latest_ = 1;
  bool disabled_ = false;
  std::vector<std::unique_ptr<test::HttpClient>> idle_;
  std::vector<std::uint8_t> aligned_;
};

}  // namespace msfl::rounds::truth
