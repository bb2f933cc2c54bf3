#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/registrations.h"
#include "cli/row_sink_setup.h"
#include "config/schema.h"
#include "sinks/warehouse/snowflake_dialect.h"
#include "sinks/warehouse/warehouse_target.h"

namespace tailrace::cli {
namespace {

using config::Need;
using config::Object;
using config::Privacy;
using warehouse::WarehouseSpec;

/// Each batch wakes a warehouse and pays for some statements, so it is not made for every few rows.
constexpr std::uint64_t kBatchBytes = 64ULL << 20;
constexpr std::chrono::seconds kBatchWait{5};

struct SnowflakeDraft {
  std::string account;
  std::string user;
  std::string password;
  std::string private_key;
  std::string private_key_passphrase;
  std::string role;
  std::string warehouse;
  std::string database;
  std::string schema = "PUBLIC";
  std::string table = "{table}";
  std::string source_db;
  std::string endpoint;
  std::string driver;
  std::chrono::milliseconds timeout{std::chrono::seconds(60)};
  bool overwrite = false;
  std::vector<warehouse::ViewSpec> views;
};

config::FieldDoc views_field() {
  config::FieldDoc field;
  field.name = "views";
  field.doc =
      "Views to make, each with its query; `{schema.table}` in it stands for what that table is called there. They are "
      "made once their tables are there, and replaced when the tables or the queries change.";
  field.type = "map of text";
  return field;
}

void read_views(SnowflakeDraft& into, const config::Node& node, const config::Reading& reading) {
  if (node.kind != config::Node::Kind::kMap) throw reading.wrong(node, "a map from names of views to their queries");
  for (const config::Entry& entry : node.entries) into.views.push_back({entry.key, reading.text(entry.value)});
}

Object<SnowflakeDraft> snowflake_object() {
  using D = SnowflakeDraft;
  Object<D> object("Tables in Snowflake, by its ADBC driver, which is loaded when it is used.");
  object.text("account", &D::account, "The account, as `ORGANISATION-ACCOUNT`.", Need::kRequired)
      .text("user", &D::user, "The user.", Need::kRequired)
      .text("password", &D::password, "The user's password.", Need::kOptional, Privacy::kSecret)
      .text("private_key", &D::private_key, "Instead of a password: the key itself (PKCS #8, PEM), as `${file:PATH}`.",
            Need::kOptional, Privacy::kSecret)
      .text("private_key_passphrase", &D::private_key_passphrase, "What the key is encrypted with.", Need::kOptional,
            Privacy::kSecret)
      .text("role", &D::role, "The role; default: the user's.")
      .text("warehouse", &D::warehouse, "The warehouse; default: the user's.")
      .text("database", &D::database, "The database, which is made when it is missing.", Need::kRequired)
      .text("schema", &D::schema, "The schema, which is made when it is missing.")
      .text("table", &D::table, "What a table is called there, with `{schema}` and `{table}`.")
      .other(views_field(), read_views)
      .text("source_db", &D::source_db, "What the column `source_db` says; default: the pipeline's name.")
      .truth("overwrite", &D::overwrite, "Replace tables that are there already and are not ours.")
      .duration("timeout", &D::timeout, "How long logging in and an answer may take.")
      .text("endpoint", &D::endpoint, "`https://HOST:PORT` instead of the account's own.")
      .text(
          "driver", &D::driver,
          "The file of the ADBC driver; default: TAILRACE_ADBC_SNOWFLAKE, beside the binary, or where tools/bootstrap "
          "puts it.");
  return object;
}

WarehouseSpec spec_of(const SnowflakeDraft& draft) {
  WarehouseSpec spec;
  spec.account = draft.account;
  spec.user = draft.user;
  spec.password = draft.password;
  spec.private_key = draft.private_key;
  spec.private_key_passphrase = draft.private_key_passphrase;
  spec.role = draft.role;
  spec.warehouse = draft.warehouse;
  spec.database = draft.database;
  spec.schema = draft.schema;
  spec.endpoint = draft.endpoint;
  spec.timeout = draft.timeout;
  spec.driver = draft.driver;
  spec.table = {draft.table, formats::Escaping::kNone};
  spec.source_db = draft.source_db;
  spec.views = draft.views;
  spec.overwrite = draft.overwrite;
  return spec;
}

pipeline::SinkSetup snowflake_sink(const std::string& name, const SnowflakeDraft& draft) {
  const WarehouseSpec spec = spec_of(draft);
  const std::string display = warehouse::SnowflakeDialect(spec).display() + " " + draft.table;
  pipeline::SinkSetup setup = row_sink_setup(name, "snowflake", display, [spec](const pipeline::SinkRoom& room) {
    WarehouseSpec own = spec;
    own.pipeline = room.pipeline;
    own.memory = room.memory;
    return std::make_unique<warehouse::WarehouseTarget>(own, std::make_unique<warehouse::SnowflakeDialect>(own));
  });
  setup.delivery.gather = {.bytes = kBatchBytes, .wait = kBatchWait};
  return setup;
}

}  // namespace

pipeline::SinkKind snowflake_kind() {
  return row_sink_kind<SnowflakeDraft>("snowflake", snowflake_object(), snowflake_sink);
}

}  // namespace tailrace::cli
