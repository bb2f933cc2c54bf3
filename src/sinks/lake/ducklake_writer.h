#pragma once

#include <memory>
#include <span>
#include <vector>

#include "sinks/lake/ducklake_snapshot.h"
#include "sinks/lake/gathering.h"
#include "sinks/lake/store.h"
#include "sinks/row_target.h"

namespace tailrace::lake {

class DuckLakeTarget;

/// Gathers rows in files and writes these where they stay; the next step of the catalog names them.
class DuckLakeWriter final : public sinks::RowWriter {
 public:
  /// `target` outlives it.
  explicit DuckLakeWriter(DuckLakeTarget& target);
  ~DuckLakeWriter() override;

  void write(std::span<const sinks::RowChange> changes, const sinks::StateChanges& state) override;
  void finish() override;

 private:
  void write_file(GatheredRows& rows);

  DuckLakeTarget& target_;
  const std::unique_ptr<Store> store_;
  Gathering gathering_;
  std::vector<DuckLakeFile> written_;
};

}  // namespace tailrace::lake
