#include "load/answer.h"

#include <flatbuffers/flatbuffers.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "load/device_messages.h"
#include "schema/fl_job_generated.h"

namespace msfl::load {
namespace {

namespace schema = mindspore_federated::schema;

std::vector<std::uint8_t> StartAnswer(int retcode, const char* reason, int iteration,
                                      const char* time = "1700000000000", bool with_model = false) {
  flatbuffers::FlatBufferBuilder builder;
  std::vector<flatbuffers::Offset<schema::FeatureMap>> features;
  if (with_model) {
    const std::vector<float> values{1, 2, 3};
    features.push_back(schema::CreateFeatureMapDirect(builder, "w", &values));
  }
  const auto model = with_model ? builder.CreateVector(features) : 0;
  const auto text = builder.CreateString(reason);
  const auto next = builder.CreateString(time);
  schema::ResponseFLJobBuilder answer(builder);
  answer.add_retcode(retcode);
  answer.add_reason(text);
  answer.add_iteration(iteration);
  answer.add_next_req_time(next);
  if (with_model) answer.add_feature_map(model);
  builder.Finish(answer.Finish());
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

Answer ReadText(std::string_view text) {
  return ReadAnswer(Round::kStartFlJob, 200,
                    {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

TEST(ReadAnswer, Accepted) {
  const Answer answer = ReadAnswer(Round::kStartFlJob, 200, StartAnswer(200, "success", 7));
  EXPECT_EQ(answer.verdict, Verdict::kAccepted);
  EXPECT_EQ(answer.iteration, 7);
  EXPECT_EQ(answer.next_req_time, 1'700'000'000'000);
}

TEST(ReadAnswer, RefusedWithItsNumbersFolded) {
  const Answer answer =
      ReadAnswer(Round::kStartFlJob, 200, StartAnswer(300, "failed for fl id bench-17-4", 2));
  EXPECT_EQ(answer.verdict, Verdict::kRefused);
  EXPECT_EQ(answer.cause, "300 failed for fl id bench-#-#");
}

TEST(ReadAnswer, NotReadyAndErrors) {
  EXPECT_EQ(ReadAnswer(Round::kGetResult, 200, StartAnswer(201, "", 2)).verdict, Verdict::kNotReady);
  EXPECT_EQ(ReadAnswer(Round::kStartFlJob, 200, StartAnswer(400, "bad", 2)).verdict, Verdict::kError);
  EXPECT_EQ(ReadAnswer(Round::kStartFlJob, 200, StartAnswer(500, "", 2)).cause, "500 ");
  EXPECT_EQ(ReadAnswer(Round::kStartFlJob, 404, StartAnswer(200, "", 2)).cause, "HTTP 404");
}

TEST(ReadAnswer, AnAcceptedDeviceNeedsAnIteration) {
  for (const int iteration : {0, -1, -2147483647}) {
    EXPECT_EQ(ReadAnswer(Round::kStartFlJob, 200, StartAnswer(200, "", iteration)).verdict, Verdict::kError);
  }
  EXPECT_EQ(ReadAnswer(Round::kUpdateModel, 200, StartAnswer(200, "", 0)).verdict, Verdict::kAccepted);
}

TEST(ReadAnswer, PlainTexts) {
  EXPECT_EQ(ReadText("The cluster is in safemode.").verdict, Verdict::kSafemode);
  EXPECT_EQ(ReadText("The server's training job is not ready.").verdict, Verdict::kSafemode);
  EXPECT_EQ(ReadText("The server's training job is disabled or finished.:12").verdict, Verdict::kOver);
  EXPECT_EQ(ReadText("An inner error occurred").cause, "An inner error occurred");
  EXPECT_EQ(ReadText("").cause, "an empty answer");
  EXPECT_EQ(ReadText("\x01\xff"
                     "bell\n")
                .cause,
            "??bell?");
}

TEST(ReadAnswer, TheStartIsEnough) {
  const auto whole = StartAnswer(300, "full", 3, "1700000000000", true);
  const std::span<const std::uint8_t> bytes(whole);
  EXPECT_EQ(ReadAnswer(Round::kStartFlJob, 200, bytes).cause, "300 full");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    // Cut anywhere, exactly sized so that a sanitizer sees a step beyond.
    const std::vector<std::uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    ReadAnswer(Round::kStartFlJob, 200, cut);
  }
}

TEST(ReadAnswer, HostileBytesAreErrorsAtMost) {
  std::mt19937 random(1);
  const auto good = StartAnswer(200, "success", 7, "1700000000000", true);
  for (int i = 0; i < 50'000; ++i) {
    std::vector<std::uint8_t> bytes = good;
    bytes.resize(random() % 3 == 0 ? random() % (good.size() + 1) : good.size());
    for (unsigned changes = random() % 8; changes > 0 && !bytes.empty(); --changes) {
      bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random() % 4 == 0 ? 0xFF : random());
    }
    for (const Round round : {Round::kStartFlJob, Round::kUpdateModel, Round::kGetResult, Round::kGetModel}) {
      const Answer answer = ReadAnswer(round, 200, bytes);
      EXPECT_LE(answer.cause.size(), 250U);
    }
    DeviceMessages messages("1", 32);
    static_cast<void>(messages.Learn(bytes));
  }
}

TEST(ParseHeader, ReadsStatusLengthAndTheEndOfTheConnection) {
  std::string fault;
  const auto header = ParseHeader("HTTP/1.1 200 OK\r\nDate: x\r\ncONTENT-length:  12 \r\n\r\nbody", fault);
  ASSERT_TRUE(header) << fault;
  EXPECT_EQ(header->status, 200);
  EXPECT_EQ(header->body_bytes, 12U);
  EXPECT_FALSE(header->closes);
  EXPECT_EQ(header->bytes, 50U);
  EXPECT_TRUE(
      ParseHeader("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: Close\r\n\r\n", fault)->closes);
  EXPECT_TRUE(ParseHeader("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", fault)->closes);
  EXPECT_FALSE(
      ParseHeader("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n", fault)->closes);
}

TEST(ParseHeader, WaitsForTheEmptyLine) {
  std::string fault;
  const std::string whole = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(ParseHeader(whole.substr(0, size), fault));
    EXPECT_EQ(fault, "") << size;
  }
}

TEST(ParseHeader, SaysWhatIsWrong) {
  for (const std::string_view text :
       {"SSH-2.0", "HTTP/2 200\r\n\r\n", "HTTP/1.1 2x0 OK\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2147483647\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    std::string fault;
    EXPECT_FALSE(ParseHeader(text, fault)) << text;
    EXPECT_NE(fault, "") << text;
  }
}

TEST(ParseHeader, HostileBytes) {
  std::mt19937 random(2);
  const std::string good = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n";
  for (int i = 0; i < 50'000; ++i) {
    std::string bytes = good;
    for (unsigned changes = random() % 6; changes > 0; --changes) {
      bytes[random() % bytes.size()] = static_cast<char>("\r\n: 0H\xff"[random() % 7]);
    }
    std::string fault;
    static_cast<void>(ParseHeader(bytes, fault));
  }
}

TEST(DeviceMessages, UploadsTheModelTimesTheSamples) {
  DeviceMessages messages("9", 4);
  ASSERT_TRUE(messages.Learn(StartAnswer(200, "success", 1, "", true)));
  const Target target{"127.0.0.1", 80, "host", "/fl/"};
  const Request request = messages.Make(Round::kUpdateModel, target, 3, 5);
  std::vector<std::uint8_t> bytes = request.head;
  bytes.insert(bytes.end(), request.tail.begin(), request.tail.end());
  const std::string text(bytes.begin(), bytes.end());
  EXPECT_TRUE(text.starts_with("POST /fl/updateModel HTTP/1.1\r\nHost: host\r\n"));
  const std::size_t body_at = text.find("\r\n\r\n") + 4;
  EXPECT_NE(text.find("Content-Length: " + std::to_string(bytes.size() - body_at) + "\r\n"),
            std::string::npos);
  const std::vector<std::uint8_t> body(bytes.begin() + static_cast<std::ptrdiff_t>(body_at), bytes.end());
  flatbuffers::Verifier verifier(body.data(), body.size());
  ASSERT_TRUE(verifier.VerifyBuffer<schema::RequestUpdateModel>(nullptr));
  const auto* update = flatbuffers::GetRoot<schema::RequestUpdateModel>(body.data());
  EXPECT_EQ(update->fl_id()->str(), "bench-9-3");
  EXPECT_EQ(update->iteration(), 5);
  ASSERT_EQ(update->feature_map()->size(), 1U);
  EXPECT_EQ(update->feature_map()->Get(0)->weight_fullname()->str(), "w");
  EXPECT_EQ(update->feature_map()->Get(0)->data()->Get(2), 12.0F);
}

TEST(DeviceMessages, LearnsNothingFromAnAnswerWithoutAModel) {
  DeviceMessages messages("9", 4);
  const Result<void> learnt = messages.Learn(StartAnswer(200, "success", 1));
  ASSERT_FALSE(learnt);
  EXPECT_NE(learnt.error().text.find("holds no uncompressed model"), std::string::npos);
  EXPECT_FALSE(messages.learnt());
}

}  // namespace
}  // namespace msfl::load
