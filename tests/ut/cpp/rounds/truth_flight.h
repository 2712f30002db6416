// Requests on their way to a Server over one connection, and all that may befall them there.
#pragma once

#include <array>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/http_client.h"

namespace msfl::rounds::truth {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  std::size_t Below(std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(engine_);
  }
  bool Chance(double probability) { return std::bernoulli_distribution(probability)(engine_); }
  std::uint64_t Number() { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

enum class Heard { kAnswer, kNothing, kNeverSent };  // kNeverSent: its last byte did not leave

struct Flight {
  using OnEnd = std::function<void(Heard heard, const std::string& body)>;
  struct Part {
    std::size_t end = 0;
    OnEnd on_end;
  };

  void Append(std::string_view request, OnEnd on_end) {
    bytes += request;
    parts.push_back(Part{bytes.size(), std::move(on_end)});
  }

  std::unique_ptr<test::HttpClient> client;
  std::string bytes;
  std::vector<Part> parts;
  std::optional<std::size_t> cut;  // the device vanishes after so many bytes
  enum class Vanish { kClose, kReset, kStopSending } vanish = Vanish::kClose;
  std::size_t pieces = 1;
};

inline std::string Frame(Dice& dice, std::string_view path, const std::vector<std::uint8_t>& body) {
  const std::string_view text(reinterpret_cast<const char*>(body.data()), body.size());
  if (!dice.Chance(0.1)) return test::HttpClient::Format("POST", path, text);
  std::string request =
      "POST " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = std::min(text.size() - at, 1 + dice.Below(dice.Chance(0.5) ? 50 : text.size()));
    std::array<char, 32> head{};
    std::snprintf(head.data(), head.size(), "%zx\r\n", size);
    request.append(head.data()).append(text.substr(at, size)).append("\r\n");
    at += size;
  }
  return request + "0\r\n\r\n";
}

// What a fault of the connection leaves of it.
inline void LetVanish(Dice& dice, Flight& flight) {
  const std::size_t all = flight.bytes.size();
  switch (dice.Below(5)) {
    case 0:
      flight.cut = all;
      break;
    case 1:
      flight.cut = all - 1;
      break;
    case 2:
      flight.cut = dice.Below(std::min<std::size_t>(all, 300));
      break;  // in the header, mostly
    default:
      flight.cut = dice.Below(all + 1);
  }
  flight.vanish = static_cast<Flight::Vanish>(dice.Below(3));
}

// Sends them all at the same time, piece by piece, and takes the answers. Throws when a connection fails that
// nobody cut.
inline void Fly(Dice& dice, std::vector<Flight>& flights) {
  std::size_t rounds = 1;
  for (const Flight& flight : flights) rounds = std::max(rounds, flight.pieces);
  for (std::size_t round = 0; round < rounds; ++round) {
    if (round > 0) std::this_thread::sleep_for(std::chrono::microseconds(dice.Below(3000)));
    for (Flight& flight : flights) {
      if (round >= flight.pieces) continue;
      const std::size_t end = flight.cut.value_or(flight.bytes.size());
      const std::size_t from = end * round / flight.pieces, to = end * (round + 1) / flight.pieces;
      // A server may close before it has everything of a request that it refuses: that is told by the answer.
      static_cast<void>(flight.client->TrySend(std::string_view(flight.bytes).substr(from, to - from)));
    }
  }
  for (std::size_t i = flights.size(); i > 1; --i) std::swap(flights[i - 1], flights[dice.Below(i)]);
  const std::string none;
  std::string fault;
  for (Flight& flight : flights) {
    std::size_t heard = flight.parts.size();
    if (flight.cut) {
      if (flight.vanish == Flight::Vanish::kStopSending) flight.client->FinishSending();
      heard = dice.Chance(0.7) ? 0 : dice.Below(flight.parts.size() + 1);
    }
    bool open = true;
    for (std::size_t i = 0; i < flight.parts.size(); ++i) {
      const Flight::Part& part = flight.parts[i];
      const bool sent = !flight.cut || *flight.cut >= part.end;
      if (!sent) {
        part.on_end(Heard::kNeverSent, none);
        continue;
      }
      open = open && i < heard;
      if (!open) {
        part.on_end(Heard::kNothing, none);
        continue;
      }
      std::string body;
      try {
        body = flight.client->Receive().body;
      } catch (const std::exception& error) {
        // Whether a server answers one that can't hear any more is its own affair.
        if (!flight.cut) fault = error.what();
        open = false;
      }
      part.on_end(open ? Heard::kAnswer : Heard::kNothing, body);
    }
    if (flight.cut && flight.vanish == Flight::Vanish::kReset) {
      flight.client->Reset();
    } else if (flight.cut) {
      flight.client->Close();
    }
  }
  if (!fault.empty()) throw std::runtime_error("a connection that nobody cut: " + fault);
}

}  // namespace msfl::rounds::truth
