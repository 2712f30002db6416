// The real rounds over a real Redis and real sockets, for devices that lie. Each iteration has two places:
// one for the device that does, "h", and one for an honest one, "d".
#pragma once

#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "net/http_server.h"
#include "rounds/plain_text.h"
#include "rounds/round_fixture.h"
#include "support/http_client.h"

namespace msfl::rounds {

inline constexpr char kSchemaReason[] = "The schema of RequestUpdateModel is invalid.";
inline constexpr char kFieldsReason[] = "Verify flatbuffers schema failed for RequestUpdateModel.";
inline constexpr char kContentReason[] = "Verify model feature map failed, retry later at time: ";
inline constexpr std::string_view kBadBody = R"({"code":"1","error_message":"Get post message failed"})";

// An update of which everything can be wrong.
struct Upload {
  std::optional<std::string> fl_id = "h", timestamp = "any";
  int iteration = 1;
  std::optional<std::vector<std::pair<std::string, std::vector<float>>>> features{
      {{"a", {10, 20, 30}}, {"s", {40}}}};
  float loss = 0, accuracy = 0;
  int sign = 0;
  std::vector<std::int32_t> index_array;
  int compress_type = 0;
  bool compressed = false, names = false;
  std::vector<std::pair<std::string, std::vector<float>>> evaluation;

  Bytes8 Build() const {
    flatbuffers::FlatBufferBuilder builder;
    flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<schema::FeatureMap>>> map;
    if (features) {
      std::vector<flatbuffers::Offset<schema::FeatureMap>> entries;
      for (const auto& [name, values] : *features) {
        const auto text = builder.CreateString(name);
        entries.push_back(schema::CreateFeatureMap(builder, text, builder.CreateVector(values)));
      }
      map = builder.CreateVector(entries);
    }
    const auto name = builder.CreateString("a");
    const auto levels = builder.CreateVector(std::vector<std::int8_t>{1, 2, 3});
    const auto entry = schema::CreateCompressFeatureMap(builder, name, levels, 0, 1);
    const auto compressed_map = builder.CreateVector(&entry, 1);
    const auto name_vec = builder.CreateVector(&name, 1);
    const auto indexes = builder.CreateVector(index_array);
    std::vector<flatbuffers::Offset<schema::UnsupervisedEvalItem>> item_list;
    for (const auto& [item, values] : evaluation) {
      const auto text = builder.CreateString(item);
      item_list.push_back(schema::CreateUnsupervisedEvalItem(builder, text, builder.CreateVector(values)));
    }
    const auto items = schema::CreateUnsupervisedEvalItems(builder, builder.CreateVector(item_list));
    flatbuffers::Offset<flatbuffers::String> id, time;
    if (fl_id) id = builder.CreateString(*fl_id);
    if (timestamp) time = builder.CreateString(*timestamp);
    schema::RequestUpdateModelBuilder request(builder);
    request.add_fl_id(id);
    request.add_timestamp(time);
    request.add_iteration(iteration);
    request.add_feature_map(map);
    request.add_upload_loss(loss);
    request.add_upload_accuracy(accuracy);
    request.add_sign(sign);
    if (!index_array.empty()) request.add_index_array(indexes);
    // Undefined types, too: as a number on the wire.
    request.fbb_.AddElement<std::int8_t>(schema::RequestUpdateModel::VT_UPLOAD_COMPRESS_TYPE,
                                         static_cast<std::int8_t>(compress_type), 0);
    if (compressed) request.add_compress_feature_map(compressed_map);
    if (names) request.add_name_vec(name_vec);
    if (!evaluation.empty()) request.add_unsupervised_eval_items(items);
    builder.Finish(request.Finish());
    return Bytes(builder);
  }
};

class HostileTest : public RoundTest {
 protected:
  void Serve(ServerOptions options = HostileOptions()) {
    Start(options);
    net::HttpOptions http;
    http.max_body_bytes = (std::size_t{1} << 20) + static_cast<std::size_t>(elements_of_a_) * sizeof(float);
    http_ = std::make_unique<net::HttpServer>(loops_, pool_, http, routes_);
    ASSERT_TRUE(http_->Listen("127.0.0.1", 0));
  }
  void TearDown() override {
    if (http_) http_->Stop(std::chrono::seconds(5));
    RoundTest::TearDown();
  }
  static ServerOptions HostileOptions() {
    ServerOptions options = Options();
    options.iterations = 1'000'000;
    options.evaluation_items = 10;
    return options;
  }

  test::HttpClient Connect() { return test::HttpClient(http_->port()); }
  static std::string_view Text(const Bytes8& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  // The body of an answer with status 200, over a connection of its own.
  Bytes8 Post(const std::string& round, const Bytes8& body) {
    const test::HttpAnswer answer = Connect().Post("/" + round, Text(body));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return {answer.body.begin(), answer.body.end()};
  }
  template <class Table>
  Answer<Table> PostTable(const std::string& round, const Bytes8& body) {
    Answer<Table> answer{Post(round, body)};
    flatbuffers::Verifier verifier(answer.bytes.data(), answer.bytes.size());
    if (!verifier.VerifyBuffer<Table>(nullptr)) {
      throw std::runtime_error("no table: " + std::string(Text(answer.bytes).substr(0, 100)));
    }
    return answer;
  }

  // An update is answered so. Only answers that devices come back after tell them when.
  void ExpectUpdate(const Bytes8& body, int retcode, std::string_view reason) {
    const auto answer = PostTable<schema::ResponseUpdateModel>("updateModel", body);
    EXPECT_EQ(answer->retcode(), retcode);
    EXPECT_EQ(answer->reason()->string_view().substr(0, reason.size()), reason);
    const bool for_good =
        reason == kSchemaReason || reason == kFieldsReason || reason.starts_with("The fl_id");
    ExpectTime(answer->next_req_time()->str(), for_good);
  }
  void ExpectStart(const Bytes8& body, int retcode, std::string_view reason) {
    const auto answer = PostTable<schema::ResponseFLJob>("startFLJob", body);
    EXPECT_EQ(answer->retcode(), retcode);
    EXPECT_EQ(answer->reason()->string_view().substr(0, reason.size()), reason);
    EXPECT_EQ(answer->is_selected(), retcode == 200);
    EXPECT_NE(answer->fl_plan_config()->cipher()->ds_params(), nullptr);
    ExpectTime(answer->next_req_time()->str(), retcode == 400);
  }
  static void ExpectTime(const std::string& next_req_time, bool none) {
    if (none) {
      EXPECT_EQ(next_req_time, "");
    } else {
      EXPECT_GT(std::stoll(next_req_time), WallMillis());
    }
  }

  int Now() { return static_cast<int>(job_->gate().Look().iteration->number()); }

  void JoinBoth() {
    ExpectStart(StartRequest("h", 10, 1), 200, "success");
    ExpectStart(StartRequest("d", 30, 3), 200, "success");
  }
  Bytes8 GoodUpload(const std::string& fl_id, float factor) {
    Weights weights = AllWeights(factor);
    weights["a"].resize(static_cast<std::size_t>(elements_of_a_), factor);
    return UpdateRequest(fl_id, Now(), weights);
  }
  // Both devices of JoinBoth() bring good updates, and the iteration holds exactly these.
  void Finish() {
    ExpectUpdate(GoodUpload("h", 40), 200, "success not ready");
    FinishWith(40, 1);
  }
  // The honest one does, and the other one's accepted update is `a[0]` = sum_of_h, of data size 10.
  void FinishWith(double sum_of_h, std::uint64_t accepted_of_h) {
    const int number = Now();
    ExpectUpdate(GoodUpload("d", 120), 200, "success not ready");
    AwaitIteration(static_cast<std::uint64_t>(number) + 1);
    const job::IterationEnded line = ended().back();
    EXPECT_TRUE(line.valid) << line.reason;
    EXPECT_EQ(line.visits.at("startFLJobAcceptClientNum"), 2U);
    EXPECT_EQ(line.visits.at("updateModelAcceptClientNum"), 1 + accepted_of_h);
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(schema::CreateRequestGetModel(builder, 0, number));
    const auto model = PostTable<schema::ResponseGetModel>("getModel", Bytes(builder));
    EXPECT_EQ(model->retcode(), 200);
    EXPECT_FLOAT_EQ(Values(model->feature_map()).at("a")[0], static_cast<float>((120 + sum_of_h) / 40));
  }

  std::unique_ptr<net::HttpServer> http_;
};

}  // namespace msfl::rounds
