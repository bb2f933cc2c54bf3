#pragma once

#include "sinks/warehouse/dialect.h"

namespace tailrace::warehouse {

/// Snowflake's SQL, types and errors (docs/snowflake.md).
class SnowflakeDialect final : public Dialect {
 public:
  /// Throws BadConfigError TR889 where the parts of `spec` do not fit each other.
  explicit SnowflakeDialect(WarehouseSpec spec);

  DriverPlaces driver_places() const override;
  AdbcOptions options() const override;
  std::string display() const override;
  [[noreturn]] void fail(const AdbcFailure& failure, About about) const override;
  std::string name_of(std::string_view name) const override;
  TypePlan type_of(const ColumnType& type) const override;
  PlannedColumn meta_column(Meta meta) const override;
  std::optional<std::string> constant(const ColumnType& type, const std::string& text) const override;
  std::string use_place() const override;
  std::vector<std::string> make_place() const override;
  bool is_missing(const AdbcFailure& failure) const override;
  bool has_column(const AdbcFailure& failure) const override;
  std::string qualified(const std::string& table) const override;
  std::string select_comment(const std::string& table) const override;
  std::string create_table(const TablePlan& table, const std::string& comment) const override;
  std::string empty_table(const std::string& table) const override;
  std::string add_column(const std::string& table, const PlannedColumn& column,
                         const std::optional<std::string>& value) const override;
  std::string drop_column(const std::string& table, const std::string& column) const override;
  std::string create_view(const std::string& name, const std::string& query) const override;
  std::vector<std::string> open_area(const std::string& area) const override;
  std::vector<std::string> load(const TablePlan& table, const Staged& staged) const override;
  std::string merge(const TablePlan& table, const std::string& rows) const override;
  std::string begin() const override { return "BEGIN TRANSACTION"; }
  std::string commit() const override { return "COMMIT"; }
  std::string rollback() const override { return "ROLLBACK"; }
  std::string create_state(const std::string& table) const override;
  std::string select_state(const std::string& table, const std::string& sink) const override;
  std::string select_state_value(const std::string& table, const std::string& sink,
                                 const std::string& name) const override;
  std::string merge_state(const std::string& table, const std::string& sink,
                          std::span<const StateRow> rows) const override;

 private:
  const WarehouseSpec spec_;
  std::string host_;
  std::string port_;
  bool tls_ = true;
};

/// A text as an SQL literal.
std::string literal(std::string_view text);

}  // namespace tailrace::warehouse
