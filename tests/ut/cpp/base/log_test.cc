#include "base/log.h"

#include <gtest/gtest.h>

#include <regex>
#include <vector>

#include "base/clock.h"
#include "base/error.h"

namespace msfl {
namespace {

TEST(Log, GoesToTheSink) {
  std::vector<std::string> lines;
  SetLogSink([&](const LogLine& line) {
    lines.push_back(std::to_string(static_cast<int>(line.level)) + " " + std::string(line.file) + " " +
                    line.text);
    EXPECT_GT(line.line, 0);
  });
  MSFL_LOG(kError, "iteration " << 7 << " failed");
  WriteLog(LogLevel::kInfo, "no_folder.cc", 1, "text");
  SetLogSink({});
  EXPECT_EQ(lines, (std::vector<std::string>{"3 log_test.cc iteration 7 failed", "1 no_folder.cc text"}));
}

TEST(Log, WritesOneLineAnEventToStderr) {
  testing::internal::CaptureStderr();
  WriteLog(LogLevel::kWarning, "a/b/c.cc", 12, "first\nsecond");
  const std::string out = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(std::regex_match(
      out, std::regex(R"(W \d{4}-\d\d-\d\d-\d\d:\d\d:\d\d\.\d{3}\.\d{3} c\.cc:12\] first\\nsecond\n)")))
      << out;
}

TEST(Log, DoesNotBuildLinesThatNobodyReads) {
  if (LogEnabled(LogLevel::kDebug)) GTEST_SKIP() << "GLOG_v asks for everything";
  int built = 0;
  MSFL_LOG(kDebug, ++built);
  EXPECT_EQ(built, 0);
  EXPECT_TRUE(LogEnabled(LogLevel::kError));
}

TEST(Log, TakesAnotherLevelAtRunTime) {
  const LogLevel before = LogEnabled(LogLevel::kDebug)  ? LogLevel::kDebug
                          : LogEnabled(LogLevel::kInfo) ? LogLevel::kInfo
                                                        : LogLevel::kWarning;
  SetLogLevel(LogLevel::kInfo);
  EXPECT_TRUE(LogEnabled(LogLevel::kInfo));
  EXPECT_FALSE(LogEnabled(LogLevel::kDebug));
  SetLogLevel(LogLevel::kError);
  EXPECT_FALSE(LogEnabled(LogLevel::kWarning));
  SetLogLevel(before);
}

TEST(Clock, NamesTimesToTheMicrosecond) {
  EXPECT_TRUE(std::regex_match(NameTime(), std::regex(R"(\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d\.\d{3}\.\d{3})")));
  EXPECT_GT(WallMillis(), 1'600'000'000'000);
}

TEST(Error, TravelsInAResultAndThrowsItsTextWhenForced) {
  const Result<int> failed = Error{Errc::kInvalidArgument, "port 0 is not allowed"};
  ASSERT_TRUE(failed.has_error());
  EXPECT_EQ(failed.error().code, Errc::kInvalidArgument);
  try {
    static_cast<void>(failed.value());
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "port 0 is not allowed");
  }
}

}  // namespace
}  // namespace msfl
