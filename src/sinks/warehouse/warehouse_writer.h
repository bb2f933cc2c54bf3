#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sinks/row_target.h"
#include "sinks/warehouse/session.h"
#include "sinks/warehouse/table_shape.h"

namespace tailrace::warehouse {

class WarehouseTarget;

/// Writes over a session of its own (see RowWriter): the changes of each table become a Parquet file that is loaded
/// into a temporary table; then one MERGE for each table and the state's are one transaction.
class WarehouseWriter final : public sinks::RowWriter {
 public:
  /// The target outlives it.
  explicit WarehouseWriter(WarehouseTarget& target);
  ~WarehouseWriter() override;
  void write(std::span<const sinks::RowChange> changes, const sinks::StateChanges& state) override;

 private:
  /// A table's rows in a temporary table.
  struct Loaded {
    std::shared_ptr<const TableShape> shape;
    std::string rows;
  };
  Session& session();
  std::vector<Loaded> load(std::span<const sinks::RowChange> changes);
  void load_table(const Loaded& loaded, std::span<const sinks::RowChange* const> changes);
  void merge(const std::vector<Loaded>& loaded);
  void write_state(const sinks::StateChanges& state, const std::string& token);
  void commit(const std::string& token);

  WarehouseTarget& target_;
  /// A name that no other session has.
  const std::string area_;
  std::unique_ptr<Session> session_;
  std::uint64_t files_ = 0;
};

}  // namespace tailrace::warehouse
