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

TEST(Log, StaysOneLineOfUtf8WhateverStrangersPutIntoIt) {
  std::vector<std::string> lines;
  SetLogSink([&](const LogLine& line) { lines.push_back(line.text); });
  const auto logged = [&](const std::string& text) {
    WriteLog(LogLevel::kError, "x.cc", 1, text);
    return lines.back();
  };
  EXPECT_EQ(logged("a\nb\r\tc\x1b[2J\x7f"), R"(a\nb\x0d\x09c\x1b[2J\x7f)");
  EXPECT_EQ(logged(std::string("NUL \0 NUL", 9)), R"(NUL \x00 NUL)");
  EXPECT_EQ(logged("größer, 漢字, 🚲"), "größer, 漢字, 🚲");
  // Ends of lines, and turns of the direction, of other alphabets.
  EXPECT_EQ(logged("\u0085|\u2028|\u202e|\u2066|\ufeff"),
            R"(\xc2\x85|\xe2\x80\xa8|\xe2\x80\xae|\xe2\x81\xa6|\xef\xbb\xbf)");
  // Alone, cut short, longer than needed, a surrogate, beyond the last code point.
  EXPECT_EQ(logged("\x80 \xff \xe6\xbc"), R"(\x80 \xff \xe6\xbc)");
  EXPECT_EQ(logged("\xc0\xaf \xe0\x80\x8a"), R"(\xc0\xaf \xe0\x80\x8a)");
  EXPECT_EQ(logged("\xed\xa0\x80 \xf4\x90\x80\x80"), R"(\xed\xa0\x80 \xf4\x90\x80\x80)");
  EXPECT_EQ(logged("\xe6\xbc\xe6\xbc\xa2 %s {0}"), R"(\xe6\xbc漢 %s {0})");
  SetLogSink({});
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
