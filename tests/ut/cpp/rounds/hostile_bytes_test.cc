// Messages whose bytes are wrong: cut, flipped, with offsets that lead astray. Whatever is answered, what is
// accepted is exactly what the message says.
#include <cmath>

#include "rounds/hostile_fixture.h"

namespace msfl::rounds {
namespace {

// An independent reading of what an accepted update brings to `a`.
std::vector<float> ValuesOfA(const Bytes8& message) {
  const auto* update = flatbuffers::GetRoot<schema::RequestUpdateModel>(message.data());
  for (const schema::FeatureMap* feature : *update->feature_map()) {
    if (feature->weight_fullname()->string_view() == "a")
      return {feature->data()->begin(), feature->data()->end()};
  }
  return {};
}

class HostileBytes : public HostileTest {
 protected:
  // Any answer that the specification knows; an accepted update ends the iteration with its own sum.
  void SendUpdate(const Bytes8& message) {
    const std::uint64_t before = job_->gate().Look().iteration->sum.uploads();
    const test::HttpAnswer http = Connect().Post("/updateModel", Text(message));
    ASSERT_EQ(http.status, 200) << http.body;
    flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(http.body.data()), http.body.size());
    ASSERT_TRUE(verifier.VerifyBuffer<schema::ResponseUpdateModel>(nullptr)) << http.body;
    const auto* answer = flatbuffers::GetRoot<schema::ResponseUpdateModel>(http.body.data());
    if (answer->retcode() != 200) {
      EXPECT_TRUE(answer->retcode() == 300 || answer->retcode() == 400) << answer->retcode();
      return;
    }
    // Of an iteration before, and the same again.
    if (job_->gate().Look().iteration->sum.uploads() == before) return;
    ++accepted_;
    const std::vector<float> values = ValuesOfA(message);
    if (values.empty()) {  // the feature has become another one
      FinishWith(0, 1);
    } else {
      FinishWith(static_cast<double>(values[0]), 1);
    }
    JoinBoth();
  }
  // FinishWith() for updates that may lack `a`: then the other device's is all there is.
  void FinishWith(double sum_of_h, std::uint64_t accepted_of_h) {
    if (sum_of_h == 0) {
      const int number = Now();
      ExpectUpdate(GoodUpload("d", 120), 200, "success not ready");
      AwaitIteration(static_cast<std::uint64_t>(number) + 1);
      EXPECT_TRUE(ended().back().valid);
      EXPECT_EQ(ended().back().visits.at("updateModelAcceptClientNum"), 1 + accepted_of_h);
      return;
    }
    HostileTest::FinishWith(sum_of_h, accepted_of_h);
  }

  int accepted_ = 0;
};

TEST_F(HostileBytes, CutAnywhere) {
  Serve();
  JoinBoth();
  const Bytes8 start = StartRequest("x", 10), update = GoodUpload("h", 40);
  const auto part = [](const Bytes8& whole, std::size_t size) {
    return Bytes8(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
  };
  for (std::size_t size = 1; size < start.size(); ++size) {
    const std::string answer(Text(Post("startFLJob", part(start, size))));
    EXPECT_FALSE(answer.empty());
  }
  // The last bytes of this builder are the padding of a string, which nobody misses.
  for (std::size_t size = 1; size < update.size(); ++size) SendUpdate(part(update, size));
  EXPECT_LE(accepted_, 3);
  Finish();
}

TEST_F(HostileBytes, FlippedAnywhere) {
  Serve();
  JoinBoth();
  std::size_t size = GoodUpload("h", 40).size();
  for (std::size_t at = 0; at < size; ++at) {
    for (const int flip : {1 << (at % 8), 0xFF, 0x80}) {
      Bytes8 message = GoodUpload("h", 40);
      message[at] = static_cast<std::uint8_t>(message[at] ^ flip);
      SCOPED_TRACE("byte " + std::to_string(at) + " ^ " + std::to_string(flip));
      SendUpdate(message);
    }
  }
  EXPECT_GT(accepted_, 20);  // values, padding
  Finish();
}

TEST_F(HostileBytes, FlippedInRequestsOfTheOtherRounds) {
  Serve();
  flatbuffers::FlatBufferBuilder model, result;
  model.Finish(schema::CreateRequestGetModelDirect(model, "job", 1, "any"));
  result.Finish(schema::CreateRequestGetResultDirect(result, "job", 1, "any"));
  const std::pair<const char*, Bytes8> requests[] = {
      {"startFLJob", StartRequest("x", 0)}, {"getModel", Bytes(model)}, {"getResult", Bytes(result)}};
  for (const auto& [round, good] : requests) {
    const bool starts = std::string_view(round) == "startFLJob";
    for (std::size_t at = 0; at < good.size(); ++at) {
      for (const int flip : {1 << (at % 8), 0xFF}) {
        Bytes8 message = good;
        message[at] = static_cast<std::uint8_t>(message[at] ^ flip);
        // Whoever would be accepted by chance is not sent.
        if (starts) {
          flatbuffers::Verifier verifier(message.data(), message.size());
          if (verifier.VerifyBuffer<schema::RequestFLJob>(nullptr)) {
            const int data_size = flatbuffers::GetRoot<schema::RequestFLJob>(message.data())->data_size();
            if (data_size > 0 && data_size < 65'536) continue;
          }
        }
        EXPECT_FALSE(Post(round, message).empty());
      }
    }
  }
  JoinBoth();
  Finish();
}

// The words of a message, to be changed one by one.
std::uint32_t& Word(Bytes8& message, std::size_t at) {
  return *reinterpret_cast<std::uint32_t*>(message.data() + at);
}

TEST_F(HostileBytes, OffsetsThatLeadAstray) {
  Serve();
  JoinBoth();
  const Bytes8 good = GoodUpload("h", 40);
  // Each word in turn as an offset, a length or the way to a vtable: out of the message, back to where it
  // comes from (no cycle can come of it), to an odd place.
  for (std::size_t at = 0; at + 4 <= good.size(); at += 4) {
    const auto to_start = static_cast<std::uint32_t>(0U - at);
    for (const std::uint32_t word :
         {0U, 1U, 2U, 3U, 4U, 6U, 0x7FFF'FFFFU, 0x8000'0000U, 0xFFFF'FFFFU, 0xFFFF'FFFCU, to_start,
          static_cast<std::uint32_t>(good.size() - at), static_cast<std::uint32_t>(good.size() - at - 4)}) {
      Bytes8 message = good;
      Word(message, at) = word;
      SCOPED_TRACE("word at " + std::to_string(at) + " = " + std::to_string(word));
      SendUpdate(message);
    }
  }
  Finish();
}

TEST_F(HostileBytes, VtablesThatLie) {
  Serve();
  JoinBoth();
  const Bytes8 good = GoodUpload("h", 40);
  for (std::size_t at = 0; at + 2 <= good.size(); at += 2) {
    for (const std::uint16_t half : {0, 1, 2, 3, 4, 5, 0x7FFF, 0xFFFE, 0xFFFF}) {
      Bytes8 message = good;
      std::memcpy(message.data() + at, &half, sizeof half);
      SCOPED_TRACE("half word at " + std::to_string(at) + " = " + std::to_string(half));
      SendUpdate(message);
    }
  }
  Finish();
}

TEST_F(HostileBytes, EntriesThatAreNull) {
  Serve();
  JoinBoth();
  Bytes8 message = GoodUpload("h", 40);
  const auto* update = flatbuffers::GetRoot<schema::RequestUpdateModel>(message.data());
  const auto entries = static_cast<std::size_t>(update->feature_map()->Data() - message.data());
  // An offset of 0 makes a table without any field out of the entry itself.
  Word(message, entries) = 0;
  ExpectUpdate(message, 400, kFieldsReason);
  Word(message, entries + 4) = 0;
  ExpectUpdate(message, 400, kFieldsReason);
  Finish();
}

TEST_F(HostileBytes, TensorsThatShareTheirBytesOrStandOdd) {
  Serve();
  JoinBoth();
  flatbuffers::FlatBufferBuilder builder;
  const auto shared = builder.CreateVector<float>({40, 80});
  const auto z = schema::CreateFeatureMap(builder, builder.CreateString("z"), shared);
  const auto a = builder.CreateVector<float>({40, 80, 120});
  const auto feature_a = schema::CreateFeatureMap(builder, builder.CreateString("a"), a);
  const auto s = schema::CreateFeatureMap(builder, builder.CreateString("s"), a);
  const auto map = builder.CreateVector(std::vector{z, feature_a, s});
  const auto id = builder.CreateString("h");
  schema::RequestUpdateModelBuilder request(builder);
  request.add_fl_id(id);
  request.add_timestamp(id);
  request.add_iteration(1);
  request.add_feature_map(map);
  builder.Finish(request.Finish());
  Bytes8 message = Bytes(builder);
  ExpectUpdate(message, 400, kContentReason);  // `s` has one element

  // A vector that begins within another one: its length is that one's first value.
  const auto* update = flatbuffers::GetRoot<schema::RequestUpdateModel>(message.data());
  const auto place = [&](const std::string& name) {
    for (const schema::FeatureMap* feature : *update->feature_map()) {
      if (feature->weight_fullname()->str() == name) {
        return static_cast<std::size_t>(
            reinterpret_cast<const flatbuffers::Table*>(feature)->GetAddressOf(schema::FeatureMap::VT_DATA) -
            message.data());
      }
    }
    return std::size_t{0};
  };
  const auto begin = [&](const std::string& name) { return place(name) + Word(message, place(name)); };
  const std::size_t of_a = begin("a");
  Word(message, of_a + 8) = 1;  // a[1]: as a float next to nothing
  Word(message, place("s")) = static_cast<std::uint32_t>(of_a + 8 - place("s"));
  ExpectUpdate(message, 200, "success not ready");
  FinishWith(40, 1);  // s = a[2]

  JoinBoth();
  Bytes8 odd = message;
  Word(odd, place("s")) += 2;
  ExpectUpdate(odd, 400, kSchemaReason);
  Finish();
}

// More tables than a message may have is not possible within the limit of a body; many are, and are refused
// by their count.
TEST_F(HostileBytes, TablesWithoutNumber) {
  Serve();
  JoinBoth();
  Upload upload;
  upload.features.emplace(20'000, std::pair<std::string, std::vector<float>>("tiny", {}));
  ExpectUpdate(upload.Build(), 400, kContentReason);
  ExpectUpdate(Bytes8(1 << 20, 0), 400, kSchemaReason);
  ExpectUpdate(Bytes8(1 << 20, 4), 400, kSchemaReason);
  ExpectUpdate(Bytes8(1 << 20, 0xFF), 400, kSchemaReason);
  Finish();
}

}  // namespace
}  // namespace msfl::rounds
