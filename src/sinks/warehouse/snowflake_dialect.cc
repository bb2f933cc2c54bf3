#include "sinks/warehouse/snowflake_dialect.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/error.h"
#include "vectors/types.h"

namespace tailrace::warehouse {
namespace {

using vectors::identifier;

constexpr std::chrono::milliseconds kLeastRepeating{1000};

bool is_plain(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

std::string upper(std::string_view name) {
  std::string out(name);
  for (char& c : out)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return out;
}

/// A number of milliseconds as Go reads durations.
std::string go_duration(std::chrono::milliseconds time) { return fmt::format("{}ms", time.count()); }

std::string listed(const TablePlan& table, const std::string& prefix, bool staged) {
  std::string out;
  for (std::size_t n = 0; n < table.columns.size(); ++n)
    out += (out.empty() ? "" : ", ") + prefix +
           identifier(staged ? upper(Dialect::staged_name(n)) : table.columns[n].name);
  return out;
}

}  // namespace

std::string literal(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    // Backslashes escape in Snowflake's texts.
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  return out + '\'';
}

SnowflakeDialect::SnowflakeDialect(WarehouseSpec spec) : spec_(std::move(spec)) {
  const auto refuse = [](const std::string& what, const char* remedy) { throw BadConfigError("TR889", what, remedy); };
  if (spec_.account.empty() || spec_.account.find_first_of("/:@ ") != std::string::npos)
    refuse("`account` is no account identifier",
           "write it as ORGANISATION-ACCOUNT, without https:// and .snowflakecomputing.com");
  if (spec_.password.empty() == spec_.private_key.empty())
    refuse("one of `password` and `private_key` is wanted, and not both", "give the one that the user logs in with");
  if (spec_.private_key.empty() && !spec_.private_key_passphrase.empty())
    refuse("`private_key_passphrase` stands without `private_key`", "give the key, or leave its passphrase out");
  if (!spec_.private_key.empty() && spec_.private_key.find("PRIVATE KEY-----") == std::string::npos)
    refuse("`private_key` is not in PEM form", "give the key itself, as ${file:/run/secrets/snowflake.p8}");
  if (spec_.database.empty() || spec_.schema.empty()) refuse("`database` and `schema` have names", "name them");
  if (spec_.table.text().empty() || spec_.table.names("key"))
    refuse("`table` is to name a table by {schema} and {table}", "say something like {schema}_{table}");
  if (spec_.endpoint.empty()) return;
  std::string_view rest = spec_.endpoint;
  tls_ = rest.starts_with("https://");
  if (!tls_ && !rest.starts_with("http://"))
    refuse("`endpoint` does not begin with https://", "write it as https://HOST:PORT, or leave it out");
  rest.remove_prefix(tls_ ? 8 : 7);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const std::size_t colon = rest.rfind(':');
  host_ = std::string(rest.substr(0, colon));
  port_ = colon == std::string_view::npos ? (tls_ ? "443" : "80") : std::string(rest.substr(colon + 1));
  const bool number = !port_.empty() && port_.find_first_not_of("0123456789") == std::string::npos;
  if (host_.empty() || host_.find('/') != std::string::npos || !number)
    refuse("`endpoint` names no server", "write it as https://HOST:PORT, or leave it out");
}

DriverPlaces SnowflakeDialect::driver_places() const {
  return {.given = spec_.driver,
          .variable = "TAILRACE_ADBC_SNOWFLAKE",
          .file = "libadbc_driver_snowflake.so",
          .deps_folder = "adbc-snowflake"};
}

AdbcOptions SnowflakeDialect::options() const {
  AdbcOptions options = {{"username", spec_.user}, {"adbc.snowflake.sql.account", spec_.account}};
  const auto add = [&options](const std::string& key, const std::string& value) {
    if (!value.empty()) options.emplace_back("adbc.snowflake.sql." + key, value);
  };
  if (spec_.private_key.empty()) {
    options.emplace_back("password", spec_.password);
  } else {
    add("auth_type", "auth_jwt");
    add("client_option.jwt_private_key_pkcs8_value", spec_.private_key);
    add("client_option.jwt_private_key_pkcs8_password", spec_.private_key_passphrase);
  }
  add("role", spec_.role);
  add("warehouse", spec_.warehouse);
  if (!host_.empty()) {
    add("uri.protocol", tls_ ? "https" : "http");
    add("uri.host", host_);
    add("uri.port", port_);
  }
  add("client_option.client_timeout", go_duration(spec_.timeout));
  // For so long the driver repeats a request; whoever runs the sink does that, too, and says so.
  const std::chrono::milliseconds repeating = std::max(kLeastRepeating, spec_.timeout / 4);
  for (const char* of : {"login_timeout", "request_timeout"})
    add(fmt::format("client_option.{}", of), go_duration(repeating));
  // No name of ours is sent anywhere but to the account.
  add("client_option.disable_telemetry", "true");
  add("client_option.app_name", "Tailrace");
  return options;
}

std::string SnowflakeDialect::display() const {
  return fmt::format("snowflake {} {}.{}", spec_.account, spec_.database, spec_.schema);
}

std::string SnowflakeDialect::name_of(std::string_view name) const {
  // As Snowflake reads names without quotes, so that nobody has to quote them.
  return is_plain(name) ? upper(name) : std::string(name);
}

std::string SnowflakeDialect::use_place() const {
  return fmt::format("USE SCHEMA {}.{}", identifier(spec_.database), identifier(spec_.schema));
}

std::vector<std::string> SnowflakeDialect::make_place() const {
  return {
      fmt::format("CREATE DATABASE IF NOT EXISTS {}", identifier(spec_.database)),
      fmt::format("CREATE SCHEMA IF NOT EXISTS {}.{}", identifier(spec_.database), identifier(spec_.schema)),
  };
}

std::string SnowflakeDialect::qualified(const std::string& table) const {
  return fmt::format("{}.{}.{}", identifier(spec_.database), identifier(spec_.schema), identifier(table));
}

std::string SnowflakeDialect::select_comment(const std::string& table) const {
  return fmt::format(
      "SELECT COALESCE(COMMENT, '') FROM {}.INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
      identifier(spec_.database), literal(spec_.schema), literal(table));
}

std::string SnowflakeDialect::create_table(const TablePlan& table, const std::string& comment) const {
  std::string columns;
  for (const PlannedColumn& column : table.columns)
    columns += fmt::format("{}{} {}", columns.empty() ? "" : ", ", identifier(column.name), column.type.sql);
  return fmt::format("CREATE OR REPLACE TABLE {} ({}) COPY GRANTS COMMENT = {}", qualified(table.name), columns,
                     literal(comment));
}

std::string SnowflakeDialect::empty_table(const std::string& table) const {
  return fmt::format("TRUNCATE TABLE {}", qualified(table));
}

std::string SnowflakeDialect::add_column(const std::string& table, const PlannedColumn& column,
                                         const std::optional<std::string>& value) const {
  // IF NOT EXISTS may not stand beside DEFAULT.
  return fmt::format("ALTER TABLE {} ADD COLUMN {}{} {}{}", qualified(table), value ? "" : "IF NOT EXISTS ",
                     identifier(column.name), column.type.sql, value ? " DEFAULT " + *value : std::string());
}

std::string SnowflakeDialect::drop_column(const std::string& table, const std::string& column) const {
  return fmt::format("ALTER TABLE {} DROP COLUMN IF EXISTS {}", qualified(table), identifier(column));
}

std::string SnowflakeDialect::create_view(const std::string& name, const std::string& query) const {
  return fmt::format("CREATE OR REPLACE VIEW {} COPY GRANTS AS {}", qualified(name), query);
}

std::vector<std::string> SnowflakeDialect::open_area(const std::string& area) const {
  return {fmt::format("CREATE TEMPORARY STAGE IF NOT EXISTS {}", identifier(area))};
}

std::vector<std::string> SnowflakeDialect::load(const TablePlan& table, const Staged& staged) const {
  std::string columns;
  std::string values;
  for (std::size_t n = 0; n < table.columns.size(); ++n) {
    const std::string comma = n == 0 ? "" : ", ";
    const std::string& type = table.columns[n].type.sql;
    columns += fmt::format("{}{} {}", comma, identifier(upper(staged_name(n))), type);
    values += fmt::format("{}$1:{}::{}", comma, staged_name(n), type);
  }
  const std::string place = fmt::format("@{}/{:08}", staged.area, staged.number);
  return {
      fmt::format("PUT 'file://{}' {} AUTO_COMPRESS = FALSE SOURCE_COMPRESSION = NONE OVERWRITE = TRUE", staged.file,
                  place),
      fmt::format("CREATE OR REPLACE TEMPORARY TABLE {} ({})", identifier(staged.rows), columns),
      fmt::format("COPY INTO {} FROM (SELECT {} FROM {}/) FILE_FORMAT = (TYPE = PARQUET BINARY_AS_TEXT = FALSE "
                  "USE_LOGICAL_TYPE = TRUE) PURGE = TRUE",
                  identifier(staged.rows), values, place),
  };
}

std::string SnowflakeDialect::merge(const TablePlan& table, const std::string& rows) const {
  std::string on;
  std::string set;
  const std::string operation = identifier(upper(staged_name(table.own)));
  for (std::size_t n = 0; n < table.columns.size(); ++n) {
    const std::string name = identifier(table.columns[n].name);
    const std::string staged = identifier(upper(staged_name(n)));
    std::string& into = table.columns[n].in_key ? on : set;
    const char* between = table.columns[n].in_key ? " AND " : ", ";
    into += fmt::format("{}t.{} = s.{}", into.empty() ? "" : between, name, staged);
  }
  return fmt::format(
      "MERGE INTO {} AS t USING {} AS s ON {} WHEN MATCHED AND s.{} = 'DELETE' THEN DELETE WHEN MATCHED THEN UPDATE "
      "SET "
      "{} WHEN NOT MATCHED AND s.{} <> 'DELETE' THEN INSERT ({}) VALUES ({})",
      qualified(table.name), identifier(rows), on, operation, set, operation, listed(table, "", false),
      listed(table, "s.", true));
}

std::string SnowflakeDialect::create_state(const std::string& table) const {
  return fmt::format("CREATE TABLE IF NOT EXISTS {} (\"SINK\" VARCHAR, \"NAME\" VARCHAR, \"VALUE\" VARCHAR)",
                     qualified(table));
}

std::string SnowflakeDialect::select_state(const std::string& table, const std::string& sink) const {
  return fmt::format("SELECT \"NAME\", \"VALUE\" FROM {} WHERE \"SINK\" = {}", qualified(table), literal(sink));
}

std::string SnowflakeDialect::select_state_value(const std::string& table, const std::string& sink,
                                                 const std::string& name) const {
  return fmt::format("SELECT \"VALUE\" FROM {} WHERE \"SINK\" = {} AND \"NAME\" = {}", qualified(table), literal(sink),
                     literal(name));
}

std::string SnowflakeDialect::merge_state(const std::string& table, const std::string& sink,
                                          std::span<const StateRow> rows) const {
  std::string values;
  for (const auto& [name, value] : rows)
    values += fmt::format("{}({}, {})", values.empty() ? "" : ", ", literal(name), value ? literal(*value) : "NULL");
  return fmt::format(
      "MERGE INTO {} AS t USING (SELECT {} AS \"SINK\", column1 AS \"NAME\", column2::VARCHAR AS \"VALUE\" FROM VALUES "
      "{}) AS s ON t.\"SINK\" = s.\"SINK\" AND t.\"NAME\" = s.\"NAME\" WHEN MATCHED AND s.\"VALUE\" IS NULL THEN "
      "DELETE "
      "WHEN MATCHED THEN UPDATE SET t.\"VALUE\" = s.\"VALUE\" WHEN NOT MATCHED AND s.\"VALUE\" IS NOT NULL THEN INSERT "
      "(\"SINK\", \"NAME\", \"VALUE\") VALUES (s.\"SINK\", s.\"NAME\", s.\"VALUE\")",
      qualified(table), literal(sink), values);
}

}  // namespace tailrace::warehouse
