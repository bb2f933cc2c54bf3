#include "cli/registry.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace tailrace::cli {
namespace {

using pipeline::PipelineSpec;

std::optional<std::string> environment(const std::string& name) {
  if (name == "SHOP_URL") return "postgresql://cdc:hunter2@db/shop";
  return std::nullopt;
}

std::vector<PipelineSpec> read(const std::string& text) {
  return pipeline::read_pipelines(config::File::parse("shop.yaml", text), components(), environment);
}

/// Code and text, with the excerpt.
std::string error_of(const std::string& text) {
  try {
    read(text);
  } catch (const config::ConfigError& error) {
    return error.code() + " " + error.what() + error.excerpt();
  }
  return "none";
}

constexpr const char* kWhole = R"(name: shop
source:
  postgres:
    url: ${SHOP_URL}
    tables: [public.*, "!public.audit_*"]
    slot: my_slot
    publication: {name: pub, create: false}
    snapshot: {mode: initial, parallel: 2}
log:
  journal: {path: ./tailrace-data/shop, keep: 24h, max_size: 20GiB, on_full: stop}
sinks:
  warehouse: {duckdb: {path: shop.duckdb, history: [public.products], release_when_idle: 2s}}
  second: {duckdb: {path: other.duckdb, history: {tables: [public.*], intermediate: true}}}
limits: {memory: 256MiB}
)";

TEST(PipelineFile, TheDocumentedFileIsRead) {
  const auto specs = read(kWhole);
  ASSERT_EQ(specs.size(), 1U);
  const PipelineSpec& spec = specs[0];
  EXPECT_EQ(spec.name, "shop");
  EXPECT_EQ(spec.state, "./tailrace-data/shop");
  EXPECT_EQ(spec.source.slot, "my_slot");
  EXPECT_EQ(spec.source.publication, "pub");
  EXPECT_EQ(spec.log.keep, std::chrono::hours(24));
  EXPECT_EQ(spec.log.max_size, 20ULL << 30);
  EXPECT_EQ(spec.memory, 256ULL << 20);
  ASSERT_EQ(spec.sinks.size(), 2U);
  EXPECT_EQ(spec.sinks[0].name, "warehouse");
  EXPECT_EQ(spec.sinks[0].kind, "duckdb");
  EXPECT_EQ(spec.sinks[0].release_when_idle, std::chrono::seconds(2));
  EXPECT_EQ(spec.sinks[1].release_when_idle, std::nullopt);
}

TEST(PipelineFile, ASinkSaysBesideItsKindHowItIsHandedChanges) {
  const auto specs = read(R"(name: shop
source: {postgres: {url: host=x}}
sinks:
  cache:
    redis: {url: "redis://h", as: stream}
    batch: {rows: 100, wait: 5s}
    retry: {attempts: 5, first: 1s, longest: 8s}
    breaker: {failures: 3, recovery: 1m}
  plain: {redis: {url: "redis://h"}}
)");
  const pipeline::Delivery& delivery = specs[0].sinks.at(0).delivery;
  EXPECT_EQ(delivery.gather.rows, 100U);
  EXPECT_GT(delivery.gather.bytes, 1ULL << 60);
  EXPECT_EQ(delivery.gather.wait, std::chrono::seconds(5));
  EXPECT_EQ(delivery.retry.attempts, 5U);
  EXPECT_EQ(delivery.retry.first, std::chrono::seconds(1));
  EXPECT_EQ(delivery.retry.failures, 3U);
  EXPECT_EQ(delivery.retry.recovery, std::chrono::minutes(1));
  EXPECT_EQ(specs[0].sinks.at(1).delivery.gather.wait, std::chrono::seconds(0));
  const std::string begin = "name: a\nsource: {postgres: {url: host=x}}\nsinks: {w: {";
  EXPECT_EQ(error_of(begin + "batch: {rows: 1}}}\n").substr(0, 5), "TR210") << "no kind";
  EXPECT_EQ(error_of(begin + "redis: {url: \"redis://h\"}, breaker: {failures: 0}}}\n").substr(0, 5), "TR202");
  EXPECT_EQ(error_of(begin + "redis: {url: \"http://h\"}}}\n").substr(0, 5), "TR820");
}

TEST(PipelineFile, RulesOfRowsAreReadAndMistakesInThemAreNamed) {
  const std::string begin = "name: a\nsource: {postgres: {url: host=x}}\nsinks: {}\nvalidate: ";
  EXPECT_EQ(read(begin + "{}\n")[0].rules, nullptr);
  EXPECT_NE(read(begin + R"(
  public.payments:
    not_null: [id]
    range: {amount: {min: 0, max: 9.99}, user_id: {min: 1}}
    in: {status: [pending, completed]}
    regex: {email: ".+@.+"}
    sql: ["amount > 0 OR status = 'pending'"]
)")[0]
                .rules,
            nullptr);
  EXPECT_EQ(error_of(begin + "{t: {range: {a: {min: many}}}}\n").substr(0, 5), "TR870");
  EXPECT_EQ(error_of(begin + "{t: {range: {a: {}}}}\n").substr(0, 5), "TR870");
  EXPECT_EQ(error_of(begin + "{t: {range: {a: {min: 2, max: 1}}}}\n").substr(0, 5), "TR870");
  EXPECT_EQ(error_of(begin + "{\"!t\": {not_null: [a]}}\n").substr(0, 5), "TR870");
  EXPECT_EQ(error_of(begin + "{t: {unique: [a]}}\n").substr(0, 5), "TR201");
  EXPECT_EQ(error_of(begin + "[t]\n").substr(0, 5), "TR202");
}

TEST(PipelineFile, NamesAndStateFollowThePipelinesName) {
  const auto specs = read("name: shop\nsource: {postgres: {url: host=x}}\nsinks: {}\n");
  EXPECT_EQ(specs[0].source.slot, "tailrace_shop");
  EXPECT_EQ(specs[0].source.publication, "tailrace_shop");
  EXPECT_EQ(specs[0].state, "tailrace-data/shop");
  EXPECT_TRUE(specs[0].sinks.empty());
}

TEST(PipelineFile, MistakesAreNamedWithTheirPlace) {
  EXPECT_EQ(error_of("name: Shop!\nsource: {postgres: {url: host=x}}\nsinks: {}\n").substr(0, 5), "TR209");
  EXPECT_EQ(error_of("source: {postgres: {url: host=x}}\nsinks: {}\n").substr(0, 5), "TR210");
  EXPECT_EQ(error_of("name: a\nsource: {postgres: {}}\nsinks: {}\n").substr(0, 5), "TR210");
  EXPECT_EQ(error_of("name: a\nsource: {}\nsinks: {}\n").substr(0, 5), "TR210");
  EXPECT_EQ(error_of("name: a\nsource: {mysql: {}}\nsinks: {}\n").substr(0, 5), "TR201");
  EXPECT_EQ(error_of("name: a\nsource: {postgres: {url: host=x}}\nsinks: {w: {duckdb: {}}}\n").substr(0, 5), "TR210");
  EXPECT_EQ(error_of("name: a\nsource: {postgres: {url: host=x}}\nsinks: [w]\n").substr(0, 5), "TR202");
  EXPECT_EQ(error_of("name: a\nsource: {postgres: {url: host=x}}\nsinks: {}\nlimits: {memory: 1MiB}\n").substr(0, 5),
            "TR202");
  EXPECT_EQ(error_of("name: a\nsource: {postgres: {url: host=x}}\nsinks: {}\n---\n"
                     "name: a\nsource: {postgres: {url: host=x}}\nsinks: {}\n")
                .substr(0, 5),
            "TR209");
  EXPECT_EQ(error_of("# nothing\n").substr(0, 5), "TR210");
}

TEST(PipelineFile, SecretsStayOutOfErrorsAndDisplays) {
  EXPECT_EQ(error_of("name: a\nsource: {postgres: {url: '${SHOP_URL}', slots: x}}\nsinks: {}\n").find("hunter2"),
            std::string::npos);
  EXPECT_EQ(read(kWhole)[0].source.display.find("hunter2"), std::string::npos);
}

TEST(PipelineFile, DocsAndSchemaNameEveryComponent) {
  const auto doc = pipeline::pipeline_doc(components());
  EXPECT_NE(config::render_docs(*doc).find("release_when_idle"), std::string::npos);
  const auto schema = nlohmann::json::parse(config::render_json_schema(*doc));
  EXPECT_TRUE(schema["properties"]["sinks"]["additionalProperties"]["properties"].contains("duckdb"));
}

TEST(Targets, OnlyWhatIsKnownIsTaken) {
  EXPECT_EQ(sink_for_target("mirror", "a.duckdb", true).kind, "duckdb");
  EXPECT_THROW(sink_for_target("mirror", "ftp://lake/a", false), BadConfigError);
}

TEST(Targets, AFileThatCannotBeWrittenIsFoundBeforehand) {
  EXPECT_THROW(sink_for_target("mirror", "/nowhere/at/all.duckdb", false).check({"shop", "", {}}), RefusedError);
}

}  // namespace
}  // namespace tailrace::cli
