// Of every test program.
#include <gtest/gtest.h>

#include "support/watchdog.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::UnitTest::GetInstance()->listeners().Append(new msfl::test::Watchdog);  // deleted by GoogleTest
  return RUN_ALL_TESTS();
}
