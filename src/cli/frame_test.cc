#include "cli/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace tailrace::cli {
namespace {

using ::testing::HasSubstr;

/// A frame with one command whose outcome the test chooses.
class FrameTest : public ::testing::Test {
 protected:
  int run(std::vector<std::string> words) {
    Frame frame;
    CLI::App* command = frame.command("work", "Works", "tailrace work hard", [this](const GlobalOptions& globals) {
      seen_ = globals;
      return body_();
    });
    command->add_option("--table", table_, "A table");
    CLI::App* group = frame.group("look", "Looks");
    frame.command_below(group, "ls", "Lists", "tailrace look ls", [](const GlobalOptions&) { return ExitCode::kDone; });
    words.insert(words.begin(), "tailrace");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = frame.run(static_cast<int>(argv.size()), argv.data());
    out_ = ::testing::internal::GetCapturedStdout();
    err_ = ::testing::internal::GetCapturedStderr();
    return code;
  }

  std::function<ExitCode()> body_ = [] { return ExitCode::kDone; };
  GlobalOptions seen_;
  std::string table_;
  std::string out_;
  std::string err_;
};

TEST_F(FrameTest, GlobalFlagsAreTakenOnBothSidesOfTheCommand) {
  EXPECT_EQ(run({"--json", "work", "--quiet", "--state", "d", "--log-level", "debug", "--log-format", "json"}), 0);
  EXPECT_TRUE(seen_.json);
  EXPECT_TRUE(seen_.quiet);
  EXPECT_EQ(seen_.state, "d");
  EXPECT_EQ(seen_.log_level, log::Level::kDebug);
  EXPECT_EQ(seen_.log_format, log::Format::kJson);
}

TEST_F(FrameTest, TheEnvironmentMirrorsTheFlags) {
  ::setenv("TAILRACE_TABLE", "public.orders", 1);
  ::setenv("TAILRACE_JSON", "1", 1);
  EXPECT_EQ(run({"work"}), 0);
  EXPECT_EQ(table_, "public.orders");
  EXPECT_TRUE(seen_.json);
  EXPECT_EQ(run({"work", "--table", "public.other"}), 0);
  EXPECT_EQ(table_, "public.other");
  ::unsetenv("TAILRACE_TABLE");
  ::unsetenv("TAILRACE_JSON");
}

TEST_F(FrameTest, ErrorsBecomeTextAndExitCode) {
  body_ = []() -> ExitCode { throw TimeoutError("TR221", "too late", "wait longer"); };
  EXPECT_EQ(run({"work"}), 4);
  EXPECT_EQ(err_, "error: too late [TR221]\nhelp: wait longer. More: tailrace docs TR221\n");
  EXPECT_EQ(out_, "");
  EXPECT_EQ(run({"work", "--json"}), 4);
  EXPECT_THAT(out_, HasSubstr(R"({"error":{"code":"TR221","what":"too late","remedy":"wait longer"}})"));
  body_ = []() -> ExitCode { throw std::runtime_error("unforeseen"); };
  EXPECT_EQ(run({"work"}), 70);
  EXPECT_THAT(err_, HasSubstr("TR900"));
}

TEST_F(FrameTest, MistakesOnTheCommandLineAreABadRequest) {
  EXPECT_EQ(run({"work", "--tabel", "x"}), 2);
  EXPECT_THAT(err_, HasSubstr("see tailrace work --help"));
  EXPECT_EQ(run({"wrok"}), 2);
  EXPECT_THAT(err_, HasSubstr("did you mean `work`?"));
  EXPECT_EQ(run({"look"}), 2);
  EXPECT_EQ(run({}), 2);
  EXPECT_THAT(err_, HasSubstr("Usage"));
}

TEST_F(FrameTest, HelpEndsWithAnExample) {
  EXPECT_EQ(run({"work", "--help"}), 0);
  EXPECT_THAT(out_, HasSubstr("Example: tailrace work hard"));
  EXPECT_EQ(run({"look", "ls", "--help"}), 0);
  EXPECT_THAT(out_, HasSubstr("Example: tailrace look ls"));
}

}  // namespace
}  // namespace tailrace::cli
