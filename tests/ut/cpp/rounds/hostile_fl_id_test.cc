// What devices may call themselves: any bytes, up to a limit, and none of them reaches beyond its place.
#include "base/log.h"
#include "rounds/hostile_fixture.h"

namespace msfl::rounds {
namespace {

class HostileFlId : public HostileTest {
 protected:
  // One that is called so takes part in a whole iteration, once.
  void ExpectWelcome(const std::string& fl_id) {
    SCOPED_TRACE(fl_id.substr(0, 40));
    const int number = Now();
    ExpectStart(StartRequest(fl_id, 10), 200, "success");
    ExpectStart(StartRequest(fl_id, 10), 300, "Updating device metadata failed for fl id " + fl_id);
    ExpectUpdate(UpdateRequest("x" + fl_id.substr(0, 200), number, AllWeights(40)), 300,
                 "devices_meta for x");
    ExpectStart(StartRequest("d", 30), 200, "success");
    ExpectUpdate(UpdateRequest(fl_id, number, AllWeights(40)), 200, "success not ready");
    ExpectUpdate(UpdateRequest(fl_id, number, AllWeights(41)), 300,
                 "Updating metadata of UpdateModelClientList failed for fl id " + fl_id);
    FinishWith(40, 1);
  }
  void ExpectTooLong(const std::string& fl_id, const std::string& reason) {
    ExpectStart(StartRequest(fl_id, 10), 400, reason);
    ExpectUpdate(UpdateRequest(fl_id, Now(), AllWeights(40)), 400, reason);
  }
};

TEST_F(HostileFlId, OfAnyBytes) {
  Serve();
  ExpectWelcome("");
  ExpectWelcome(" ");
  ExpectWelcome(std::string(1, '\0'));
  ExpectWelcome(std::string("a\0b", 3));
  ExpectWelcome("h\r\n*3\r\n$8\r\nFLUSHALL\r\n");
  ExpectWelcome("\r\nHTTP/1.1 200 OK\r\n\r\n");
  ExpectWelcome("\xff\xfe\xc0\x80\xed\xa0\x80");
  ExpectWelcome("%s%n%x {0} {} $(id) ${HOME} '; DROP TABLE; --");
  ExpectWelcome("redis.call('FLUSHALL') \" ' ] }");
  ExpectWelcome("leased 1 2 3");
  ExpectWelcome("iteration");
  ExpectWelcome("void:h");
  ExpectWelcome("started");
  ExpectWelcome("*");
  ExpectWelcome("../../etc/passwd");
}

TEST_F(HostileFlId, OfEveryByteThatThereIs) {
  Serve();
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  ExpectWelcome(all.substr(0, 255));
  ExpectWelcome(all.substr(1, 255));
}

TEST_F(HostileFlId, OfTheLimitAndBeyond) {
  Serve();
  ExpectWelcome(std::string(256, 'x'));
  ExpectTooLong(std::string(257, 'x'),
                "The fl_id has 257 bytes, which is more than the limit of 256 bytes (limits.fl_id_bytes).");
  ExpectTooLong(std::string(1'000'000, 'x'),
                "The fl_id has 1000000 bytes, which is more than the limit of 256");
  JoinBoth();
  ExpectTooLong(std::string(257, 'x'), "The fl_id has 257 bytes");  // before the threshold is looked at
  Finish();
}

TEST_F(HostileFlId, OfAnotherLimit) {
  ServerOptions options = HostileOptions();
  options.limits.fl_id_bytes = 65'536;
  Serve(options);
  ExpectWelcome(std::string(65'536, 'x'));
  ExpectTooLong(std::string(65'537, 'x'), "The fl_id has 65537 bytes, which is more than the limit of 65536");
}

TEST_F(HostileFlId, WritesNoLineOfItsOwnIntoTheLog) {
  std::mutex mutex;
  std::vector<std::string> lines;
  SetLogSink([&](const LogLine& line) {
    const std::lock_guard lock(mutex);
    lines.push_back(line.text);
  });
  Serve();
  const std::string fl_id = "h\r\nE 2026-01-01 the job is over\x1b[2J\xff";
  ExpectStart(StartRequest(fl_id, 10), 200, "success");
  ExpectStart(StartRequest("d", 30), 200, "success");
  Upload upload;
  upload.fl_id = fl_id;
  upload.evaluation = {{"huge", std::vector<float>(65'537, 1)}};  // worth a line
  ExpectUpdate(upload.Build(), 200, "success not ready");
  FinishWith(10, 1);
  SetLogSink({});
  bool seen = false;
  for (const std::string& line : lines) {
    EXPECT_EQ(line.find_first_of("\r\n\x1b\xff"), std::string::npos) << line;
    seen = seen || line.find(R"(fl_id=h\x0d\nE 2026-01-01 the job is over\x1b[2J\xff)") != std::string::npos;
  }
  EXPECT_TRUE(seen);
}

}  // namespace
}  // namespace msfl::rounds
