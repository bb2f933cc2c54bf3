#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sinks/clickhouse/clickhouse_writer.h"
#include "sinks/clickhouse/connection.h"
#include "sinks/clickhouse/spec.h"
#include "sinks/clickhouse/tables.h"
#include "sinks/row_target.h"

namespace tailrace::clickhouse {

/// Tables in a ClickHouse server: the last version of each row (ReplacingMergeTree), or every change (see RowTarget,
/// and docs/clickhouse.md). There are no transactions: rows go first, the state behind them.
class ClickhouseTarget final : public sinks::RowTarget {
 public:
  explicit ClickhouseTarget(ClickhouseSpec spec);
  ~ClickhouseTarget() override;

  sinks::RowTraits traits() const override;
  sinks::StateMap open() override;
  std::unique_ptr<sinks::RowWriter> writer() override;
  std::string obstacle(const Relation& relation) const override;
  const char* refusal_of(const sinks::RowChange& change) const override;
  void make_table(const Relation& relation, bool ours) override;
  void empty_table(const Relation& relation) override;
  std::string alter_table(const Relation& before, const Relation& after, const SchemaChange& change) override;
  void release() override;

 private:
  Connection& connection();
  void see_version();
  /// What an earlier life of ours sent may still be on its way into a table: it would come after what we write.
  void see_running_inserts();
  bool has_rows(const std::string& table);
  void create(const Relation& relation, const std::string& table);
  void fill_existing(const Relation& relation, const std::string& table, const TableFacts& facts);

  const ClickhouseSpec spec_;
  const std::unique_ptr<Tables> tables_;
  std::unique_ptr<Connection> connection_;
  StateVersion state_version_ = 0;
};

/// The statements that turn a table of ours into its next version, or why there are none and its rows have to be
/// copied anew. `name`: sql_name().
struct Alteration {
  std::vector<std::string> statements;
  std::string obstacle;
};
Alteration alteration(const Relation& before, const Relation& after, const SchemaChange& change,
                      const std::string& name);
/// The same for events, which are never copied anew. `facts`: the table as it is.
std::vector<std::string> event_alteration(const Relation& after, const TableFacts& facts, const std::string& name);

}  // namespace tailrace::clickhouse
