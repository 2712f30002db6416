#include "base/clock.h"

#include <cstdio>
#include <ctime>

namespace msfl {

std::string NameTime() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  const auto seconds = static_cast<std::time_t>(micros / 1'000'000);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char date[32];
  const std::size_t length = std::strftime(date, sizeof date, "%Y-%m-%d-%H:%M:%S", &local);
  char fraction[16];
  std::snprintf(fraction, sizeof fraction, ".%03d.%03d", static_cast<int>(micros / 1000 % 1000),
                static_cast<int>(micros % 1000));
  return std::string(date, length) + fraction;
}

}  // namespace msfl
