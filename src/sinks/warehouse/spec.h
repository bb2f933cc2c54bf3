#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "formats/row_template.h"

namespace tailrace::warehouse {

/// A view of the user's: its name, and its query, in which `{schema.table}` stands for what that table is called there.
struct ViewSpec {
  std::string name;
  std::string query;
};

/// Where a warehouse is, who we are there, and what the sink keeps there. Holds secrets. A value.
struct WarehouseSpec {
  std::string account;
  std::string user;
  std::string password;
  /// PEM (PKCS #8); empty: the password is used.
  std::string private_key;
  std::string private_key_passphrase;
  std::string role;
  std::string warehouse;
  std::string database;
  std::string schema = "PUBLIC";
  /// "https://host:port"; empty: the account's own.
  std::string endpoint;
  /// Of an answer, and of logging in.
  std::chrono::milliseconds timeout{std::chrono::seconds(60)};
  /// The ADBC driver's file; empty: where it usually is.
  std::string driver;
  /// The name of a table there, of {schema} and {table}.
  formats::RowTemplate table;
  /// What `source_db` says; empty: the pipeline's name.
  std::string source_db;
  std::vector<ViewSpec> views;
  /// Tables that are not ours may be replaced.
  bool overwrite = false;
  std::string pipeline;
  /// What making Parquet may use, in bytes.
  std::uint64_t memory = 0;

  /// What the rows of this sink in the state's table are known by.
  std::string state_name() const { return pipeline + ":" + table.text(); }
};

}  // namespace tailrace::warehouse
