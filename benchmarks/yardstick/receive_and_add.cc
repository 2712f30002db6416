// The limit for updateModel: bodies arrive over loopback in a warm buffer, and each is added, as float32, to
// a sum. No protocol, no checks, one connection.
#include <vector>

#include "yardstick/loopback.h"

int main(int argc, char** argv) {
  using namespace msfl::yardstick;
  const Sizes sizes = ParseSizes(argc, argv);
  const std::size_t floats = sizes.bytes / sizeof(float);
  pid_t child = 0;
  const auto send_bodies = [&sizes, floats](int socket) {
    const std::vector<float> body(floats, 1.0F);
    char taken = 0;
    for (std::size_t i = 0; i < sizes.count; ++i) {
      WriteAll(socket, body.data(), sizes.bytes);
      ReadAll(socket, &taken, 1);
    }
  };
  const int socket = ConnectToChild(send_bodies, child);
  std::vector<float> body(floats, 0.0F);
  std::vector<float> sum(floats, 0.0F);
  const double before = CpuSeconds();
  for (std::size_t i = 0; i < sizes.count; ++i) {
    ReadAll(socket, body.data(), sizes.bytes);
    for (std::size_t j = 0; j < floats; ++j) sum[j] += body[j];
    WriteAll(socket, "k", 1);
  }
  const double cpu = CpuSeconds() - before;
  WaitForChild(child);
  Report("receive_and_add", sizes, cpu, sum[floats - 1]);
}
