#include "recovery/journal.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <filesystem>
#include <fstream>
#include <future>

#include "net/event_loops.h"
#include "net/peer_frame.h"

namespace msfl::recovery {
namespace {

constexpr char kJob[] = "a job/with %";
constexpr std::uint64_t kLargest = 1 << 20;

class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    std::filesystem::create_directories(folder_);
    loops_.Start();
  }
  ~JournalTest() override {
    loops_.Stop();
    std::filesystem::remove_all(folder_);
  }
  static collective::Bytes Frame(const std::string& head) {
    return net::EncodePeerFrame(net::PeerFrameKind::kRequest,
                                {reinterpret_cast<const std::uint8_t*>(head.data()), head.size()}, 0);
  }
  std::future<bool> Begin(Journal& journal, const std::string& head, const std::string& payload = "") {
    Journal::Payload pieces;
    pieces.Add(payload.data(), payload.size());
    return asio::co_spawn(loops_.control(), journal.Append(Frame(head), pieces), asio::use_future);
  }
  bool Append(Journal& journal, const std::string& head, const std::string& payload = "") {
    return Begin(journal, head, payload).get();
  }
  // What a successor finds: heads and payloads, and what is wrong.
  std::string Found() {
    std::string text;
    for (const Journal::Found& found : Journal::Find(folder_, kJob)) {
      const std::string fault = found.Read(kLargest, [&](const auto& head, const auto& payload) {
        text +=
            std::string(head.begin(), head.end()) + "=" + std::string(payload.begin(), payload.end()) + ";";
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(payload.data()) % 64, 0U);
      });
      text += "[" + fault + "]";
    }
    return text;
  }
  std::string OnlyFile() {
    std::string path;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) path = entry.path().string();
    return path;
  }

  const std::string folder_ =
      (std::filesystem::temp_directory_path() / ("journal_test_" + std::to_string(::getpid()))).string();
  net::EventLoops loops_{1};
};

TEST_F(JournalTest, WhatIsWrittenIsFoundByTheNextProcess) {
  {
    Journal journal(folder_, kJob);
    journal.Restart(Frame("begin"));
    EXPECT_TRUE(Append(journal, "one", "payload"));
    EXPECT_EQ(Found(), "") << "it belongs to a process that lives";
    EXPECT_TRUE(Append(journal, "two"));
  }
  EXPECT_EQ(Found(), "begin=;one=payload;two=;[]");
  Journal::Find(folder_, kJob).front().Remove();
  EXPECT_EQ(OnlyFile(), "");
}

TEST_F(JournalTest, NothingIsLeftBehindInOrder) {
  {
    Journal journal(folder_, kJob);
    EXPECT_TRUE(Append(journal, "one"));
    EXPECT_NE(OnlyFile(), "");
    journal.Restart(Frame("next"));
  }
  EXPECT_EQ(OnlyFile(), "");
  {
    Journal journal(folder_, kJob);
    EXPECT_TRUE(Append(journal, "one"));
    journal.Forget();
  }
  EXPECT_EQ(OnlyFile(), "");
}

TEST_F(JournalTest, AnIterationLeavesNothingToTheNext) {
  {
    Journal journal(folder_, kJob);
    journal.Restart(Frame("first"));
    EXPECT_TRUE(Append(journal, "one"));
    journal.Restart(Frame("second"));
    EXPECT_TRUE(Append(journal, "two", "2"));
  }
  EXPECT_EQ(Found(), "second=;two=2;[]");
}

TEST_F(JournalTest, ManyAtOnceKeepTheirOrder) {
  std::string expected = "begin=;";
  {
    Journal journal(folder_, kJob);
    journal.Restart(Frame("begin"));
    std::vector<std::future<bool>> all;
    const std::string payload(3000, 'x');
    for (int i = 0; i < 200; ++i) {
      all.push_back(Begin(journal, std::to_string(i), payload));
      expected += std::to_string(i) + "=" + payload + ";";
    }
    for (auto& one : all) EXPECT_TRUE(one.get());
  }
  EXPECT_EQ(Found(), expected + "[]");
}

// Whatever byte a power failure leaves off at: all records before are there.
TEST_F(JournalTest, ARecordThatIsNotWholeEndsIt) {
  {
    Journal journal(folder_, kJob);
    journal.Restart(Frame("begin"));
    EXPECT_TRUE(Append(journal, "one", "1111"));
    EXPECT_TRUE(Append(journal, "two", "2222"));
  }
  const std::string path = OnlyFile();
  const std::uintmax_t size = std::filesystem::file_size(path), last = 24 + 3 + 4;
  for (std::uintmax_t cut = 1; cut <= last; ++cut) {
    std::filesystem::resize_file(path, size - cut);
    const std::string found = Found();
    EXPECT_TRUE(found.starts_with("begin=;one=1111;[")) << cut << ": " << found;
  }
}

TEST_F(JournalTest, BytesThatWereChangedAreNoticed) {
  {
    Journal journal(folder_, kJob);
    EXPECT_TRUE(Append(journal, "one", "1111"));
    EXPECT_TRUE(Append(journal, "two", "2222"));
  }
  const std::string path = OnlyFile();
  const auto size = static_cast<std::streamoff>(std::filesystem::file_size(path));
  for (std::streamoff at = 0; at < size; ++at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const auto was = static_cast<char>(file.get());
    const auto put = [&](char byte) {
      file.seekp(at);
      file.put(byte);
      file.flush();
    };
    put(static_cast<char>(was ^ 0x41));
    const std::string found = Found();
    EXPECT_TRUE(found.ends_with("]") && !found.ends_with("[]")) << at << ": " << found;
    put(was);
  }
}

TEST_F(JournalTest, AFolderThatCannotBeWrittenIsSaid) {
  std::ofstream(folder_ + "/file") << "no folder";
  Journal journal(folder_ + "/file/below", kJob);
  EXPECT_FALSE(Append(journal, "one"));
  EXPECT_FALSE(Append(journal, "two"));
}

TEST_F(JournalTest, JobsDoNotTakeEachOthersFiles) {
  {
    Journal journal(folder_, "other");
    EXPECT_TRUE(Append(journal, "one"));
  }
  EXPECT_EQ(Found(), "");
}

}  // namespace
}  // namespace msfl::recovery
