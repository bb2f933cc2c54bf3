#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "model/relation.h"
#include "model/snapshot.h"
#include "sources/postgres/catalog.h"
#include "sources/postgres/copy_pace.h"
#include "sources/postgres/spec.h"
#include "sources/source.h"

namespace tailrace::postgres {

class Connection;
class CopyReader;

using sources::CopyProgress;
using sources::RowReceiver;
using sources::TableToCopy;

/// The tables that are published and wanted, as the snapshot of the connection's transaction shows them. `only`: when
/// not empty, just these.
std::vector<TableToCopy> tables_to_copy(Connection& sql, Catalog& catalog, Lsn as_of, const SourceSpec& spec,
                                        const std::vector<sources::TableName>& only);

/// Copies tables under one snapshot of the source. It owns the connection that keeps the snapshot alive; destroying it
/// lets the snapshot go. Made by PostgresSource::begin_copy; one thread calls it. Takes no lock above ACCESS SHARE.
class SnapshotCopy final : public sources::Copy {
 public:
  /// `holder` is inside a REPEATABLE READ transaction whose snapshot was exported as `snapshot_name`.
  /// `scratch_directory`: where very long rows lie.
  SnapshotCopy(SourceSpec spec, std::unique_ptr<Connection> holder, std::string snapshot_name, Fence fence,
               std::vector<TableToCopy> tables, std::filesystem::path scratch_directory);
  ~SnapshotCopy() override;
  SnapshotCopy(const SnapshotCopy&) = delete;
  SnapshotCopy& operator=(const SnapshotCopy&) = delete;

  /// What every row of this copy contains.
  const Fence& fence() const override { return fence_; }
  const std::vector<TableToCopy>& tables() const override { return tables_; }

  /// Reads all rows of `table` and gives them, in the stream's own tuple form, to receivers: one per reader, made and
  /// used on the reader's thread. Returns when all have finished. Throws RetryError (TR121) when the table was
  /// rewritten or altered since the snapshot was taken: what was received is then to be thrown away and the table
  /// copied under a new snapshot. Throws ReconnectError when connections were lost (the same holds), and whatever a
  /// receiver throws. On a stop request it returns early: ask the token.
  void copy(const TableToCopy& table, const std::function<std::unique_ptr<RowReceiver>()>& make_receiver,
            CopyProgress& progress, std::stop_token stop) override;
  void copy_keys(const TableToCopy& table, const std::vector<std::string>& keys, RowReceiver& receiver,
                 CopyProgress& progress, std::stop_token stop) override;

 private:
  std::uint64_t pages_now(const TableToCopy& table);
  CopyReader& reader(std::unique_ptr<CopyReader>& place, const std::stop_token& stop);

  SourceSpec spec_;
  CopyPace pace_;
  std::unique_ptr<Connection> holder_;
  std::string snapshot_name_;
  Fence fence_;
  std::vector<TableToCopy> tables_;
  const std::filesystem::path scratch_directory_;
  /// Kept from table to table.
  std::vector<std::unique_ptr<CopyReader>> readers_;
};

}  // namespace tailrace::postgres
