#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "sinks/row_target.h"
#include "sinks/warehouse/dialect.h"
#include "sinks/warehouse/session.h"
#include "sinks/warehouse/spec.h"
#include "sinks/warehouse/table_shape.h"
#include "sinks/warehouse/views.h"
#include "vectors/parquet_rows.h"

namespace tailrace::warehouse {

/// The last version of each row in a data warehouse that is reached by an ADBC driver (see RowTarget, and
/// docs/snowflake.md). Rows and state are written in one transaction.
class WarehouseTarget final : public sinks::RowTarget {
 public:
  WarehouseTarget(WarehouseSpec spec, std::unique_ptr<const Dialect> dialect);
  ~WarehouseTarget() override;

  sinks::RowTraits traits() const override;
  sinks::StateMap open() override;
  std::unique_ptr<sinks::RowWriter> writer() override;
  std::string obstacle(const Relation& relation) const override;
  const char* refusal_of(const sinks::RowChange& change) const override;
  void make_table(const Relation& relation, bool ours) override;
  void empty_table(const Relation& relation) override;
  std::string alter_table(const Relation& before, const Relation& after, const SchemaChange& change) override;
  void release() override;

  // For its writers, any thread.
  const WarehouseSpec& spec() const { return spec_; }
  const Dialect& dialect() const { return *dialect_; }
  /// A session whose place is that of the tables. REQUIRES: the place is there.
  std::unique_ptr<Session> connect() const;
  std::shared_ptr<const TableShape> shape(const Relation& relation) const;
  std::shared_ptr<vectors::ParquetEngine> engine();

 private:
  std::unique_ptr<Session> log_in() const;
  Session& session() const;
  std::string name_of(const Relation& relation) const;
  std::string name_of(const NamedTable& table) const;
  std::string mark(const Relation& relation) const;
  /// The table's comment; nothing: there is no such table.
  std::optional<std::string> comment_of(const std::string& table) const;
  void prepare();
  /// Makes the views that name this table, or all, as far as their tables are there.
  void make_views(const std::string& table);
  void forget_shapes();

  const WarehouseSpec spec_;
  const std::unique_ptr<const Dialect> dialect_;
  std::unique_ptr<Session> session_;
  /// The place of the tables, and the state's, are there.
  bool has_place_ = false;
  bool prepared_ = false;
  mutable std::mutex mutex_;
  mutable std::unordered_map<const Relation*, std::shared_ptr<const TableShape>> shapes_;
  std::shared_ptr<vectors::ParquetEngine> engine_;
};

}  // namespace tailrace::warehouse
