// Many devices in one process, so that the Server is what is measured.
//
//   device_load MODE --port PORT [--connections N] [--count N] [--iterations N] [--feature NAME=ELEMENTS]...
//               [--server-pid PID] [--url-prefix TEXT] [--deadline SECONDS]
//
//   update   N iterations of COUNT devices: startFLJob of all, updateModel of all, then getModel until the
//   new model is
//            served. The Server's start threshold has to be COUNT, with update_model_ratio 1.
//   get      COUNT downloads by getModel
//   start    COUNT accepted startFLJob, each of another device
//   refused  COUNT startFLJob that find the threshold reached
//
// Prints one JSON line. CPU seconds are those of the Server's process in the phases named; ends with 1 after
// a fault.
#include <charconv>
#include <cstdio>
#include <ctime>
#include <exception>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "device_load/exchange_loop.h"
#include "yardstick/loopback.h"

namespace msfl::device_load {
namespace {

using Clock = ExchangeLoop::Clock;

struct Arguments {
  std::string mode;
  std::uint16_t port = 0;
  std::size_t connections = 50, count = 50, iterations = 1;
  std::vector<std::pair<std::string, std::size_t>> features;
  pid_t server_pid = 0;
  std::string url_prefix = "/";
  int deadline = 120;
};

template <class Number>
void Parse(std::string_view name, std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1) {
    throw std::invalid_argument(std::string(name) + " is '" + std::string(text) +
                                "'; a number of at least 1 is allowed");
  }
}

Arguments ParseArguments(int argc, char** argv) {
  Arguments arguments;
  if (argc < 2) throw std::invalid_argument("the mode is missing: update, get, start or refused");
  arguments.mode = argv[1];
  for (int i = 2; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(std::string(name) + " has no value");
    const std::string_view value = argv[i + 1];
    if (name == "--port") {
      Parse(name, value, arguments.port);
    } else if (name == "--connections") {
      Parse(name, value, arguments.connections);
    } else if (name == "--count") {
      Parse(name, value, arguments.count);
    } else if (name == "--iterations") {
      Parse(name, value, arguments.iterations);
    } else if (name == "--server-pid") {
      Parse(name, value, arguments.server_pid);
    } else if (name == "--deadline") {
      Parse(name, value, arguments.deadline);
    } else if (name == "--url-prefix") {
      arguments.url_prefix = value;
    } else if (name == "--feature") {
      const std::size_t sign = value.rfind('=');
      if (sign == std::string_view::npos) throw std::invalid_argument("--feature has to be NAME=ELEMENTS");
      auto& [feature, elements] = arguments.features.emplace_back(value.substr(0, sign), 0);
      Parse(name, value.substr(sign + 1), elements);
    } else {
      throw std::invalid_argument("unknown option " + std::string(name));
    }
  }
  if (arguments.port == 0) throw std::invalid_argument("--port is missing");
  if (arguments.features.empty()) arguments.features.emplace_back("w", 1);
  return arguments;
}

class Load {
 public:
  explicit Load(const Arguments& arguments)
      : arguments_(arguments),
        requests_("127.0.0.1:" + std::to_string(arguments.port), arguments.url_prefix, arguments.features),
        loop_(arguments.port, arguments.connections,
              Clock::now() + std::chrono::seconds(arguments.deadline)) {
    if (arguments.server_pid != 0 && clock_getcpuclockid(arguments.server_pid, &server_clock_) != 0) {
      throw std::invalid_argument("--server-pid is no process whose CPU time can be read");
    }
    run_ = std::to_string(getpid()) + "-" + std::to_string(WallSeconds());
  }

  void Run() {
    const auto began = Clock::now();
    if (arguments_.mode == "update") {
      Update();
    } else if (arguments_.mode == "get") {
      Measured("get", [&] { Get(arguments_.count, 0, false); });
    } else if (arguments_.mode == "start") {
      Measured("start", [&] { Start(arguments_.count, 200, nullptr); });
    } else if (arguments_.mode == "refused") {
      FillUp();
      Measured("refused", [&] { Start(arguments_.count, 300, nullptr); });
    } else {
      throw std::invalid_argument("the mode is '" + arguments_.mode +
                                  "'; allowed are update, get, start and refused");
    }
    Print(std::chrono::duration<double>(Clock::now() - began).count());
  }

  // Unexpected answers by cause, as a JSON object.
  std::string Errors() const {
    std::ostringstream out;
    out << '{';
    const char* separator = "";
    for (const auto& [cause, count] : errors_) {
      out << separator << '"';
      for (const char letter : cause) out << (letter == '"' || letter == '\\' ? '\'' : letter);
      out << "\": " << count;
      separator = ", ";
    }
    out << '}';
    return out.str();
  }

 private:
  struct Totals {
    double cpu_s = 0, wall_s = 0;
    std::size_t exchanges = 0;
    std::uint64_t sent = 0, received = 0;
  };

  static long WallSeconds() { return static_cast<long>(std::time(nullptr)); }
  double ServerCpu() const { return arguments_.server_pid == 0 ? 0 : yardstick::ClockSeconds(server_clock_); }
  std::string NextId() { return run_ + "-" + std::to_string(devices_++); }

  template <class Work>
  void Measured(const std::string& phase, Work work) {
    Totals& totals = phases_[phase];
    const double cpu = ServerCpu();
    const auto wall = Clock::now();
    const std::uint64_t sent = loop_.bytes_sent();
    const std::uint64_t received = loop_.bytes_received();
    const std::size_t exchanges = exchanges_;
    work();
    totals.cpu_s += ServerCpu() - cpu;
    totals.wall_s += std::chrono::duration<double>(Clock::now() - wall).count();
    totals.exchanges += exchanges_ - exchanges;
    totals.sent += loop_.bytes_sent() - sent;
    totals.received += loop_.bytes_received() - received;
  }

  Verdict Judge(const Answer& answer, int expected) {
    if (answer.status == 200 && answer.retcode == expected) {
      ++exchanges_;
      return Verdict::kDone;
    }
    std::string cause = answer.reason;
    // One cause, whatever numbers and times its text holds.
    for (char& letter : cause) {
      if (letter >= '0' && letter <= '9') letter = '#';
    }
    ++errors_[std::to_string(answer.status) + " " + std::to_string(answer.retcode) + " " + cause];
    return Verdict::kAgain;
  }

  void Start(std::size_t count, int expected, std::vector<std::string>* ids) {
    if (ids != nullptr) ids->assign(count, "");
    const auto make = [&, ids](std::size_t i) {
      std::string id = NextId();
      Request request = requests_.StartFlJob(id);
      if (ids != nullptr) (*ids)[i] = std::move(id);
      return request;
    };
    const auto judge = [&](std::size_t, const Answer& answer) {
      if (answer.retcode == expected) iteration_ = answer.iteration;
      return Judge(answer, expected);
    };
    loop_.Run({count, true, make, judge});
  }

  // Until the first refusal; the threshold is the Server's business.
  void FillUp() {
    bool full = false;
    while (!full) {
      const auto make = [&](std::size_t) { return requests_.StartFlJob(NextId()); };
      const auto judge = [&](std::size_t, const Answer& answer) {
        full = full || answer.retcode == 300;
        return Verdict::kDone;
      };
      loop_.Run({arguments_.connections, true, make, judge});
    }
  }

  void Get(std::size_t count, std::int64_t iteration, bool wait) {
    const auto make = [&](std::size_t) { return requests_.GetModel(iteration); };
    const auto judge = [&](std::size_t, const Answer& answer) {
      if (wait && answer.retcode != 200) return Verdict::kAgain;
      return Judge(answer, 200);
    };
    loop_.Run({count, true, make, judge});
  }

  void Update() {
    for (std::size_t i = 0; i < arguments_.iterations; ++i) {
      std::vector<std::string> ids;
      Measured("start", [&] { Start(arguments_.count, 200, &ids); });
      Measured("update", [&] {
        const auto make = [&](std::size_t k) { return requests_.UpdateModel(ids[k], iteration_); };
        const auto judge = [&](std::size_t, const Answer& answer) { return Judge(answer, 200); };
        loop_.Run({arguments_.count, false, make, judge});
      });
      const auto acknowledged = Clock::now();
      Measured("switch", [&] { Get(1, iteration_, true); });
      switch_ms_.push_back(std::chrono::duration<double, std::milli>(Clock::now() - acknowledged).count());
    }
  }

  void Print(double wall_seconds) const {
    std::ostringstream out;
    out << "{\"mode\": \"" << arguments_.mode << "\", \"connections\": " << arguments_.connections
        << ", \"wall_s\": " << wall_seconds << ", \"client_cpu_s\": " << yardstick::CpuSeconds()
        << ", \"phases\": {";
    const char* separator = "";
    for (const auto& [name, totals] : phases_) {
      out << separator << '"' << name << "\": {\"done\": " << totals.exchanges
          << ", \"server_cpu_s\": " << totals.cpu_s << ", \"wall_s\": " << totals.wall_s
          << ", \"bytes_sent\": " << totals.sent << ", \"bytes_received\": " << totals.received << '}';
      separator = ", ";
    }
    out << "}, \"switch_ms\": [";
    separator = "";
    for (const double switched : switch_ms_) {
      out << separator << switched;
      separator = ", ";
    }
    out << "], \"errors\": " << Errors() << '}';
    std::puts(out.str().c_str());
  }

  const Arguments& arguments_;
  RequestMaker requests_;
  ExchangeLoop loop_;
  clockid_t server_clock_ = 0;
  std::string run_;
  std::uint64_t devices_ = 0;
  std::size_t exchanges_ = 0;
  std::int64_t iteration_ = 0;
  std::map<std::string, Totals> phases_;
  std::vector<double> switch_ms_;
  std::map<std::string, std::uint64_t> errors_;
};

}  // namespace
}  // namespace msfl::device_load

int main(int argc, char** argv) {
  try {
    const auto arguments = msfl::device_load::ParseArguments(argc, argv);
    msfl::device_load::Load load(arguments);
    try {
      load.Run();
    } catch (const std::exception& error) {
      throw std::runtime_error(error.what() + std::string("; unexpected answers so far: ") + load.Errors());
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "device_load: %s\n", error.what());
    return 1;
  }
}
