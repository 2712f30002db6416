// Every field of every request absent, one by one and in pairs: the fields are taken out of the vtables of
// good messages, so that nothing else changes.
#include <set>

#include "rounds/hostile_fixture.h"

namespace msfl::rounds {
namespace {

// One table of a message, and one field of it by its place in the vtable.
struct Field {
  std::string table;
  std::size_t vtable;  // in the message
  flatbuffers::voffset_t place;
  bool operator<(const Field& other) const {
    return std::tie(vtable, place) < std::tie(other.vtable, other.place);
  }
};
using Fields = std::vector<Field>;

std::size_t VtableOf(const Bytes8& message, const void* table) {
  const auto at = static_cast<std::size_t>(static_cast<const std::uint8_t*>(table) - message.data());
  return at - static_cast<std::size_t>(flatbuffers::ReadScalar<flatbuffers::soffset_t>(table));
}

// Whatever the table holds, as the schema lists it.
void AddFields(Fields& fields, const Bytes8& message, const std::string& name, const void* table) {
  const std::size_t vtable = VtableOf(message, table);
  const auto bytes = flatbuffers::ReadScalar<flatbuffers::voffset_t>(message.data() + vtable);
  for (flatbuffers::voffset_t place = 4; place < bytes;
       place = static_cast<flatbuffers::voffset_t>(place + 2)) {
    if (flatbuffers::ReadScalar<flatbuffers::voffset_t>(message.data() + vtable + place) != 0) {
      fields.push_back({name, vtable, place});
    }
  }
}

void Remove(Bytes8& message, const Field& field) {
  message[field.vtable + field.place] = message[field.vtable + field.place + 1] = 0;
}

// Calls `check` with each message that lacks one field or two, and which they are.
template <class Check>
void WithoutEach(const Bytes8& good, const Fields& fields, const Check& check) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    for (std::size_t j = i; j < fields.size(); ++j) {
      Bytes8 message = good;
      Remove(message, fields[i]);
      Remove(message, fields[j]);
      std::set<std::pair<std::string, int>> gone{{fields[i].table, fields[i].place},
                                                 {fields[j].table, fields[j].place}};
      SCOPED_TRACE(fields[i].table + ":" + std::to_string(fields[i].place) + " " + fields[j].table + ":" +
                   std::to_string(fields[j].place));
      check(message, gone);
    }
  }
}

void Prepare(flatbuffers::FlatBufferBuilder& builder) {
  builder.ForceDefaults(true);
  builder.DedupVtables(false);  // otherwise a field would go from several tables at once
}

// Every field of the schema is in it.
Bytes8 WholeUpdate(int compress_type) {
  flatbuffers::FlatBufferBuilder builder;
  Prepare(builder);
  const auto id = builder.CreateString("h");
  const auto bytes = builder.CreateVector(std::vector<std::uint8_t>{1, 2});
  const auto a = builder.CreateString("a"), s = builder.CreateString("s");
  const auto feature_a = schema::CreateFeatureMap(builder, a, builder.CreateVector<float>({10, 20, 30}));
  const auto feature_s = schema::CreateFeatureMap(builder, s, builder.CreateVector<float>({40}));
  const auto map = builder.CreateVector(std::vector{feature_a, feature_s});
  const auto indexes = builder.CreateVector(std::vector<std::int32_t>{1});
  const auto levels = builder.CreateVector(std::vector<std::int8_t>{1});
  const auto compressed = schema::CreateCompressFeatureMap(builder, a, levels, 0, 1);
  const auto compressed_map = builder.CreateVector(&compressed, 1);
  const auto names = builder.CreateVector(&a, 1);
  const auto item = schema::CreateUnsupervisedEvalItem(builder, a, builder.CreateVector<float>({1}));
  const auto items = schema::CreateUnsupervisedEvalItems(builder, builder.CreateVector(&item, 1));
  builder.Finish(schema::CreateRequestUpdateModel(
      builder, id, id, 1, map, id, bytes, 0.5F, 0, indexes, compressed_map,
      static_cast<schema::CompressType>(compress_type), 0.5F, names, 0.5F, items, id));
  return Bytes(builder);
}

Fields FieldsOfUpdate(const Bytes8& good) {
  const auto* message = flatbuffers::GetRoot<schema::RequestUpdateModel>(good.data());
  Fields fields;
  AddFields(fields, good, "update", message);
  AddFields(fields, good, "feature a", message->feature_map()->Get(0));
  AddFields(fields, good, "feature s", message->feature_map()->Get(1));
  AddFields(fields, good, "compressed", message->compress_feature_map()->Get(0));
  AddFields(fields, good, "items", message->unsupervised_eval_items());
  AddFields(fields, good, "item", message->unsupervised_eval_items()->eval_items()->Get(0));
  return fields;
}

class HostileFields : public HostileTest {};

TEST_F(HostileFields, AbsentFromStartFlJob) {
  using Table = schema::RequestFLJob;
  Serve();
  flatbuffers::FlatBufferBuilder builder;
  Prepare(builder);
  const auto text = builder.CreateString("h");
  const auto bytes = builder.CreateVector(std::vector<std::uint8_t>{1, 2});
  const auto types = builder.CreateVector(std::vector<std::int8_t>{2, 99, -1});
  const flatbuffers::Offset<flatbuffers::Vector<schema::CompressType>> download(types.o);
  // No data, so that it is never accepted.
  builder.Finish(schema::CreateRequestFLJob(builder, text, text, 1, 0, text, bytes, text, text, text, text,
                                            download, 5));
  const Bytes8 good = Bytes(builder);
  Fields fields;
  AddFields(fields, good, "start", flatbuffers::GetRoot<Table>(good.data()));
  ASSERT_EQ(fields.size(), 12U);
  WithoutEach(good, fields, [&](const Bytes8& message, const std::set<std::pair<std::string, int>>& gone) {
    const bool complete = !gone.count({"start", Table::VT_FL_ID}) &&
                          !gone.count({"start", Table::VT_FL_NAME}) &&
                          !gone.count({"start", Table::VT_TIMESTAMP});
    if (complete) {
      ExpectStart(message, 300, "FL job data size is not enough.");
    } else {
      EXPECT_EQ(Text(Post("startFLJob", message)), kStartFieldsText);
    }
  });
  JoinBoth();
  Finish();
}

TEST_F(HostileFields, AbsentFromUpdateModel) {
  using Table = schema::RequestUpdateModel;
  Serve();
  const Bytes8 good = WholeUpdate(0);
  const Fields fields = FieldsOfUpdate(good);
  ASSERT_EQ(fields.size(), 16U + 2 + 2 + 4 + 1 + 2);
  JoinBoth();
  const std::set<std::pair<std::string, int>> mandatory{{"update", Table::VT_FL_ID},
                                                        {"update", Table::VT_TIMESTAMP},
                                                        {"update", Table::VT_FEATURE_MAP},
                                                        {"feature a", schema::FeatureMap::VT_WEIGHT_FULLNAME},
                                                        {"feature a", schema::FeatureMap::VT_DATA},
                                                        {"feature s", schema::FeatureMap::VT_WEIGHT_FULLNAME},
                                                        {"feature s", schema::FeatureMap::VT_DATA}};
  const std::set<std::pair<std::string, int>> of_items{{"items", 4}, {"item", 4}, {"item", 6}};
  const std::pair<std::string, int> items{"update", Table::VT_UNSUPERVISED_EVAL_ITEMS};
  int accepted = 0;
  WithoutEach(good, fields, [&](const Bytes8& message, const std::set<std::pair<std::string, int>>& gone) {
    bool complete = true;
    for (const auto& field : gone) {
      if (mandatory.count(field) || (of_items.count(field) && !gone.count(items))) complete = false;
    }
    const int number = Now();
    Bytes8 current = message;
    const bool counts = flatbuffers::GetMutableRoot<flatbuffers::Table>(current.data())
                            ->SetField<std::int32_t>(Table::VT_ITERATION, number, 0);
    if (!complete) {
      ExpectUpdate(current, 400, kFieldsReason);
    } else if (!counts) {
      ExpectUpdate(current, 300, "UpdateModel iteration number is invalid:0, current iteration:");
    } else {
      ExpectUpdate(current, 200, "success not ready");
      ++accepted;
      FinishWith(10, 1);
      JoinBoth();
    }
  });
  EXPECT_GT(accepted, 100);
  Finish();
}

TEST_F(HostileFields, AbsentFromAnUpdateOfATypeThatIsNotConfigured) {
  using Table = schema::RequestUpdateModel;
  Serve();
  const Bytes8 good = WholeUpdate(1);
  JoinBoth();
  const std::pair<std::string, int> type{"update", Table::VT_UPLOAD_COMPRESS_TYPE};
  WithoutEach(good, FieldsOfUpdate(good),
              [&](const Bytes8& message, const std::set<std::pair<std::string, int>>& gone) {
                if (gone.count(type)) return;  // that one is plain
                const auto answer = PostTable<schema::ResponseUpdateModel>("updateModel", message);
                const bool elsewhere = gone.count({"update", Table::VT_ITERATION}) != 0;
                EXPECT_TRUE(answer->retcode() == 400 || (elsewhere && answer->retcode() == 300));
              });
  Finish();
}

TEST_F(HostileFields, AbsentFromGetModelAndGetResult) {
  Serve();
  flatbuffers::FlatBufferBuilder model, result;
  Prepare(model);
  Prepare(result);
  const auto text = model.CreateString("h"), other = result.CreateString("h");
  const auto types = model.CreateVector(std::vector<std::int8_t>{2, 99, -1});
  const flatbuffers::Offset<flatbuffers::Vector<schema::CompressType>> download(types.o);
  model.Finish(schema::CreateRequestGetModel(model, text, 1, text, download));
  result.Finish(schema::CreateRequestGetResult(result, other, 1, other));
  Fields of_model, of_result;
  const Bytes8 good_model = Bytes(model), good_result = Bytes(result);
  AddFields(of_model, good_model, "model", flatbuffers::GetRoot<schema::RequestGetModel>(good_model.data()));
  AddFields(of_result, good_result, "result",
            flatbuffers::GetRoot<schema::RequestGetResult>(good_result.data()));
  ASSERT_EQ(of_model.size() + of_result.size(), 7U);
  WithoutEach(good_model, of_model, [&](const Bytes8& message, const auto& gone) {
    const bool asks_for_0 = gone.count({"model", schema::RequestGetModel::VT_ITERATION}) != 0;
    EXPECT_EQ(PostTable<schema::ResponseGetModel>("getModel", message)->retcode(), asks_for_0 ? 200 : 201);
  });
  WithoutEach(good_result, of_result, [&](const Bytes8& message, const auto& gone) {
    const bool asks_for_0 = gone.count({"result", schema::RequestGetResult::VT_ITERATION}) != 0;
    EXPECT_EQ(PostTable<schema::ResponseGetResult>("getResult", message)->retcode(), asks_for_0 ? 200 : 201);
  });
  JoinBoth();
  Finish();
}

}  // namespace
}  // namespace msfl::rounds
