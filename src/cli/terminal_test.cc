#include "cli/terminal.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "config/document.h"

namespace tailrace::cli {
namespace {

TEST(Terminal, SecondsAreShownAsPeopleReadThem) {
  EXPECT_EQ(human_seconds(0.038), "38 ms");
  EXPECT_EQ(human_seconds(1.44), "1.4 s");
  EXPECT_EQ(human_seconds(252), "4m12s");
  EXPECT_EQ(human_seconds(7260), "2h01m");
}

TEST(Terminal, BytesAreShownInPowersOfAThousand) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(18'000'000), "18.0 MB");
  EXPECT_EQ(human_bytes(134'217'728), "134 MB");
  EXPECT_EQ(human_bytes(1'200'000'000), "1.2 GB");
}

TEST(Terminal, CountsAreShownInFullUntilTheyAreLong) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(14'203), "14,203");
  EXPECT_EQ(human_count(1'000'000), "1,000,000");
  EXPECT_EQ(human_count(24'000'000), "24.0M");
}

TEST(Terminal, AnErrorShowsWhatWhereAndTheRemedy) {
  EXPECT_EQ(error_text(BadConfigError("TR511", "in use by process 7", "stop that process"), -1),
            "error: in use by process 7 [TR511]\nhelp: stop that process. More: tailrace docs TR511\n");
  EXPECT_EQ(error_text(BadConfigError("TR200", "unknown", "did you mean `run`?"), -1),
            "error: unknown [TR200]\nhelp: did you mean `run`? More: tailrace docs TR200\n");
  const config::File file = config::File::parse("a.yaml", "x: 1\n");
  EXPECT_EQ(error_text(file.error("TR201", "unknown key `x`", "", {1, 1}, 1), -1),
            "error: unknown key `x` [TR201]\n --> a.yaml:1:1\n  |\n1 | x: 1\n  | ^\n");
}

TEST(Terminal, NoColoursWhereThereIsNoTerminal) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_EQ(painted("text", Colour::kRed, ends[1]), "text");
  EXPECT_FALSE(is_terminal(ends[1]));
  EXPECT_EQ(terminal_width(ends[1]), 80);
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace tailrace::cli
