#pragma once

#include <string>
#include <string_view>

#include "formats/row_template.h"
#include "net/compression.h"
#include "net/server_address.h"
#include "sinks/row_target.h"

namespace tailrace::clickhouse {

struct Address : net::ServerAddress {
  std::string database;
  /// Of the rows that are sent.
  net::Compression compression = net::Compression::kNone;

  /// "clickhouse://host:8123/db", without secrets.
  std::string display() const;
};

/// "clickhouse://[user[:password]@]host[:port][/database]", clickhouses:// for TLS; http:// and https:// mean the same.
/// Throws BadConfigError TR848.
Address parse_url(const std::string& url);

struct ClickhouseSpec {
  Address address;
  sinks::RowStyle style = sinks::RowStyle::kState;
  /// The name of a table at the target, of {schema} and {table}.
  formats::RowTemplate table;
  std::string pipeline;
  /// Tables that have rows already may be emptied and taken.
  bool overwrite = false;

  /// What the rows of this sink in the state's table are known by.
  std::string state_name() const;
  /// What its INSERTs carry as `log_comment`, by which they are found while they run.
  std::string mark_of_inserts() const;
};

/// Throws BadConfigError TR848 where the parts do not fit each other.
void check_spec(const ClickhouseSpec& spec);

/// A name as an SQL identifier, quoted.
std::string identifier(std::string_view name);
/// A text as an SQL literal.
std::string literal(std::string_view text);

}  // namespace tailrace::clickhouse
