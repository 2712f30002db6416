#include "model/digest.h"

#include <gtest/gtest.h>

#include "model/make_model.h"

namespace msfl::model {
namespace {

TEST(Digest, IsThatOfTheLibrarysTool) {
  const auto pool = BufferPool::Create(0);
  const auto model = Model::Make(MakeLayout({Declare("w", {2}), Declare("frozen", {1}, false)}), *pool);
  model->values(0)[0] = 3;  // "frozen" comes first
  model->values(1)[0] = 1;
  model->values(1)[1] = 2;
  const std::string digest = Digest(*model);
  // printf '\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40' | xxh128sum
  EXPECT_EQ(digest, "2c80bda405a7fdf62ca51b47fa70740e");
}

TEST(Digest, BitByBit) {
  const auto pool = BufferPool::Create(0);
  const auto layout = MakeLayout({Declare("a", {300}), Declare("b", {}), Declare("frozen", {5}, false)});
  const auto model = MakeModel(layout, *pool);
  Digester digester;
  for (const FlatRange range : {FlatRange{0, 17}, FlatRange{17, 17}, FlatRange{17, 301}})
    digester.Add(*model, range);
  EXPECT_EQ(digester.Finish(*model), Digest(*model));
}

TEST(Digest, SeesEachValue) {
  const auto pool = BufferPool::Create(0);
  const auto layout = MakeLayout({Declare("a", {300}), Declare("b", {}), Declare("frozen", {5}, false)});
  const auto model = MakeModel(layout, *pool);
  const std::string digest = Digest(*model);
  EXPECT_EQ(digest.size(), kDigestCharacters);
  EXPECT_EQ(Digest(*MakeModel(layout, *pool)), digest);
  for (std::size_t i = 0; i < layout->features().size(); ++i) {
    for (float& value : model->values(i)) {
      const float before = value;
      value += 1;
      EXPECT_NE(Digest(*model), digest);
      value = before;
    }
  }
  EXPECT_EQ(Digest(*model), digest);
}

}  // namespace
}  // namespace msfl::model
