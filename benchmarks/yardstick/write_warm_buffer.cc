// The limit for getModel: one warm buffer is written to a loopback socket again and again; a child drains it.
#include <vector>

#include "yardstick/loopback.h"

int main(int argc, char** argv) {
  using namespace msfl::yardstick;
  const Sizes sizes = ParseSizes(argc, argv);
  pid_t child = 0;
  const auto drain = [&sizes](int socket) {
    std::vector<char> window(1 << 20);
    for (std::size_t i = 0; i < sizes.count; ++i) {
      for (std::size_t left = sizes.bytes; left > 0;) {
        const ssize_t got = read(socket, window.data(), left < window.size() ? left : window.size());
        if (got <= 0) Die("read");
        left -= static_cast<std::size_t>(got);
      }
      WriteAll(socket, "k", 1);
    }
  };
  const int socket = ConnectToChild(drain, child);
  const std::vector<char> model(sizes.bytes, 1);
  char taken = 0;
  const double before = CpuSeconds();
  for (std::size_t i = 0; i < sizes.count; ++i) {
    WriteAll(socket, model.data(), sizes.bytes);
    ReadAll(socket, &taken, 1);
  }
  const double cpu = CpuSeconds() - before;
  WaitForChild(child);
  Report("write_warm_buffer", sizes, cpu, static_cast<double>(sizes.count));
}
