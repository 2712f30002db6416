#include "model/upload_digest.h"

#include <gtest/gtest.h>

#include "model/make_model.h"
#include "model/running_sum.h"

namespace msfl::model {
namespace {

// More than two blocks of the sum, with borders inside of features.
constexpr std::int64_t kElements = 2 * RunningSum::kBlockElements + 100;

class UploadDigestTest : public testing::Test {
 protected:
  std::string Added() {
    RunningSum::Addition addition(sum_, upload_, 7);
    while (!addition.Step()) {
    }
    return addition.digest().Text();
  }

  std::shared_ptr<BufferPool> pool_ = BufferPool::Create(64 << 20);
  std::shared_ptr<const Layout> layout_ =
      MakeLayout({Declare("a", {kElements}), Declare("b", {3}), Declare("c", {2}, false)});
  RunningSum sum_{layout_, *pool_};
  std::vector<float> a_ = std::vector<float>(kElements, 0.5F), b_ = {1, 2, 3}, c_ = {4, 5};
  std::vector<Contribution> upload_{{0, a_.data()}, {1, b_.data()}, {2, c_.data()}};
};

TEST_F(UploadDigestTest, IsThatOfTheAdditionWhereverItBegins) {
  const std::string digest = DigestUpload(*layout_, upload_).Text();
  EXPECT_EQ(digest.size(), 16U);
  for (int time = 0; time < 4; ++time) EXPECT_EQ(Added(), digest);
}

// As written down once: Servers of one job run on different processors.
TEST_F(UploadDigestTest, IsTheSameOnEveryProcessor) {
  EXPECT_EQ(DigestUpload(*layout_, upload_).Text(), "413b7741a4c2d84f");
}

TEST_F(UploadDigestTest, TellsUploadsApart) {
  const std::string digest = DigestUpload(*layout_, upload_).Text();
  for (const std::size_t element : {std::size_t{0}, RunningSum::kBlockElements, std::size_t{kElements - 1}}) {
    a_[element] = 0.25F;
    EXPECT_NE(DigestUpload(*layout_, upload_).Text(), digest);
    a_[element] = 0.5F;
  }
  // The same values in two blocks the other way round.
  a_[0] = 9;
  const std::string in_the_first = DigestUpload(*layout_, upload_).Text();
  a_[0] = 0.5F;
  a_[RunningSum::kBlockElements] = 9;
  EXPECT_NE(DigestUpload(*layout_, upload_).Text(), in_the_first);
  a_[RunningSum::kBlockElements] = 0.5F;
  upload_.erase(upload_.begin() + 1);
  EXPECT_NE(DigestUpload(*layout_, upload_).Text(), digest);
}

}  // namespace
}  // namespace msfl::model
