#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "config/schema.h"

namespace tailrace::config {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

enum class Full { kStop, kDetach };
struct Inner {
  std::uint64_t max_size = 20ULL << 30;
  std::chrono::seconds keep{86400};
  Full on_full = Full::kStop;
};
struct Outer {
  std::string database;
  std::string url;
  int readers = 2;
  bool create = true;
  std::vector<std::string> tables;
  std::optional<milliseconds> idle;
  Inner log;
};

Object<Outer> outer_object() {
  Object<Inner> inner("The log.");
  inner.size("max_size", &Inner::max_size, "Limit.")
      .duration("keep", &Inner::keep, "How long.")
      .choice<Full>("on_full", &Inner::on_full, {{"stop", Full::kStop}, {"detach", Full::kDetach}}, "Reaction.");
  Object<Outer> outer("A test.");
  outer.text("database", &Outer::database, "Its name.", Need::kRequired)
      .text("url", &Outer::url, "Where.", Need::kOptional, Privacy::kSecret)
      .integer("readers", &Outer::readers, 1, 64, "How many.")
      .truth("create", &Outer::create, "Whether.")
      .texts("tables", &Outer::tables, "Which.")
      .duration("idle", &Outer::idle, "When.")
      .object("log", &Outer::log, inner);
  return outer;
}

std::optional<std::string> no_environment(const std::string&) { return std::nullopt; }

Outer read(const std::string& text, const Environment& environment = no_environment) {
  const File file = File::parse("shop.yaml", text);
  Outer outer;
  outer_object().read(outer, file.documents().at(0), Reading(file, environment));
  return outer;
}

/// Code, text, excerpt and remedy in one.
std::string error_of(const std::string& text, const Environment& environment = no_environment) {
  try {
    read(text, environment);
  } catch (const ConfigError& error) {
    return error.code() + " " + error.what() + "\n" + error.excerpt() + error.remedy();
  }
  return "no error";
}

TEST(Config, FillsTheStructAndKeepsDefaults) {
  const Outer outer = read(
      "database: shop\ntables: [public.*, '!public.audit_*']\nreaders: 4\nlog: {max_size: 512MiB, on_full: detach}\n");
  EXPECT_EQ(outer.database, "shop");
  EXPECT_EQ(outer.tables, (std::vector<std::string>{"public.*", "!public.audit_*"}));
  EXPECT_EQ(outer.readers, 4);
  EXPECT_TRUE(outer.create);
  EXPECT_EQ(outer.log.max_size, 512U << 20);
  EXPECT_EQ(outer.log.keep, std::chrono::hours(24));
  EXPECT_EQ(outer.log.on_full, Full::kDetach);
  EXPECT_FALSE(outer.idle.has_value());
}

TEST(Config, UnknownKeyNamesTheNearestWithPlaceAndCaret) {
  EXPECT_EQ(error_of("create: true\nlog: {keep: 1h, max_sise: 1GiB}\ndatabase: x\n"),
            "TR201 unknown key `max_sise`\n"
            " --> shop.yaml:2:17\n"
            "  |\n"
            "2 | log: {keep: 1h, max_sise: 1GiB}\n"
            "  |                 ^^^^^^^^\n"
            "did you mean `max_size`?");
  EXPECT_THAT(error_of("databse: x\n"), HasSubstr("did you mean `database`?"));
  EXPECT_THAT(error_of("zzzzzzzz: x\n"), HasSubstr("known here: `database`, `url`"));
}

TEST(Config, WrongValuesAreNamedWithoutShowingThem) {
  EXPECT_THAT(error_of("database: x\nreaders: many\n"), HasSubstr("TR202 here stands no number from 1 to 64"));
  EXPECT_THAT(error_of("database: x\nreaders: 65\n"), HasSubstr("TR202"));
  EXPECT_THAT(error_of("database: x\ncreate: perhaps\n"), HasSubstr("true or false"));
  EXPECT_THAT(error_of("database: x\nlog: {keep: 10}\n"), HasSubstr("duration such as"));
  EXPECT_THAT(error_of("database: x\nlog: {max_size: 10XB}\n"), HasSubstr("size such as"));
  EXPECT_THAT(error_of("database: x\nlog: {on_full: panic}\n"), HasSubstr("one of stop, detach"));
  EXPECT_THAT(error_of("database: [x]\n"), HasSubstr("TR202"));
  EXPECT_THAT(error_of("database: x\nlog: 3\n"), HasSubstr("map with `max_size`"));
}

TEST(Config, MissingAndRepeatedKeysAreErrors) {
  EXPECT_THAT(error_of("create: true\n"), HasSubstr("TR210 `database` is missing"));
  EXPECT_THAT(error_of("database: x\ndatabase: y\n"), HasSubstr("TR207 `database` is given twice"));
}

// yaml-cpp 0.7 gives empty documents for ever where one of these stands alone.
TEST(Config, StrayPunctuationEndsTheParse) {
  for (const char* text : {",", "a: 1\n---\n,", "}"}) EXPECT_THROW(File::parse("x.yaml", text), ConfigError) << text;
}

TEST(Config, TextThatIsNoYamlIsNamedWithItsPlace) {
  EXPECT_THAT(error_of("database: [x\n"), HasSubstr("TR205 not YAML"));
  EXPECT_THAT(error_of("database: x\n  log: y\n"), HasSubstr(" --> shop.yaml:2:"));
}

TEST(Config, ReferencesAreResolvedInScalarsOnly) {
  const Environment environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "DB") return "a: [b]";
    if (name == "EMPTY") return "";
    return std::nullopt;
  };
  EXPECT_EQ(read("database: ${DB}\n", environment).database, "a: [b]");
  EXPECT_EQ(read("database: x-${EMPTY:-y}-${NONE:-z}\n", environment).database, "x-y-z");
  EXPECT_EQ(read("database: $${DB}\n", environment).database, "${DB}");
  EXPECT_THAT(error_of("database: x\nurl: ${SHOP_URL}\n"),
              HasSubstr("TR203 ${SHOP_URL} is not set\n --> shop.yaml:2:6"));
  EXPECT_THAT(error_of("database: ${DB\n"), HasSubstr("TR203"));
  EXPECT_THAT(error_of("database: ${a b}\n"), HasSubstr("TR203"));
}

TEST(Config, SecretsComeFromFilesAndAreNeverEchoed) {
  const std::string path = ::testing::TempDir() + "config_test_secret" + std::to_string(::getpid());
  std::ofstream(path) << "hunter2\n";
  EXPECT_EQ(read("database: ${file:" + path + "}\n").database, "hunter2");
  EXPECT_THAT(error_of("database: x\nreaders: ${file:" + path + "}\n"), Not(HasSubstr("hunter2")));
  EXPECT_THAT(error_of("database: ${file:/nowhere/pw}\n"), HasSubstr("TR206 cannot read /nowhere/pw"));
}

TEST(Config, PasswordsOnTheShownLineAreStarredOut) {
  const std::string shown = error_of("{database: x, url: 'postgres://me:hunter2@db/shop', createe: on}\n");
  EXPECT_THAT(shown, HasSubstr("postgres://me:*******@db/shop"));
  EXPECT_EQ(without_secrets("a: {password: \"pw d\", b: 1}"), "a: {password: \"****\", b: 1}");
  EXPECT_EQ(without_secrets("url: host=x password=abc user=y"), "url: host=x password=*** user=y");
  EXPECT_EQ(without_secrets("secret: ${S3}"), "secret: ${S3}");
}

TEST(Config, SeveralDocumentsInOneFile) {
  const File file = File::parse("two.yaml", "database: a\n---\ndatabase: b\n---\n# nothing\n");
  ASSERT_EQ(file.documents().size(), 2U);
  EXPECT_EQ(file.documents()[1].find("database")->text, "b");
}

TEST(Config, AliasesCannotExplode) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) text += (j > 0 ? ", *a" : "*a") + std::to_string(i - 1);
    text += "]\n";
  }
  EXPECT_THROW(File::parse("bomb.yaml", text), ConfigError);
}

TEST(Config, MissingFileIsABadRequest) {
  try {
    File::load("/nowhere/shop.yaml");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.code(), "TR208");
    EXPECT_EQ(error.exit_code(), ExitCode::kBadRequest);
  }
}

TEST(Config, SizesAndDurationsReadBackWhatTheyPrint) {
  EXPECT_EQ(parse_size("64kB"), 64'000U);
  EXPECT_EQ(parse_size("512 MiB"), 512U << 20);
  EXPECT_EQ(parse_size("17"), 17U);
  EXPECT_EQ(parse_size("99999999999TiB"), std::nullopt);
  EXPECT_EQ(parse_size("-1"), std::nullopt);
  EXPECT_EQ(print_size(512U << 20), "512MiB");
  EXPECT_EQ(parse_duration("1h30m"), milliseconds(5'400'000));
  EXPECT_EQ(parse_duration("500ms"), milliseconds(500));
  EXPECT_EQ(parse_duration(""), std::nullopt);
  EXPECT_EQ(print_duration(milliseconds(86'400'000)), "1d");
  EXPECT_EQ(print_duration(milliseconds(90'500)), "1m30s500ms");
}

TEST(Config, DocsAndSchemaComeFromTheDeclarations) {
  const auto doc = outer_object().doc();
  EXPECT_THAT(render_docs(*doc), HasSubstr("  - `max_size` (size, default `20GiB`): Limit."));
  EXPECT_THAT(render_docs(*doc), HasSubstr("- `url` (text, secret): Where."));
  const auto schema = nlohmann::json::parse(render_json_schema(*doc));
  EXPECT_EQ(schema["properties"]["log"]["properties"]["on_full"]["examples"][1], "detach");
  EXPECT_EQ(schema["required"][0], "database");
  EXPECT_EQ(schema["additionalProperties"], false);
}

}  // namespace
}  // namespace tailrace::config
