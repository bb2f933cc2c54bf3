#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/lsn.h"
#include "base/time.h"
#include "model/transaction_log.h"
#include "sources/postgres/source_memory.h"
#include "sources/postgres/spec.h"
#include "sources/source.h"

namespace tailrace::postgres {

using sources::name_of;
using sources::SourceProblem;
using sources::SourceState;
using sources::SourceStatus;

/// A PostgreSQL database as a source: makes publication and slot, copies, and streams into a TransactionLog.
/// Owned by the pipeline, with references to memory and log that outlive it. prepare(), then stream() on a thread of
/// its own while begin_copy() and the copy run on another; status() and request_current_end() from any thread.
class PostgresSource final : public sources::Source {
 public:
  PostgresSource(SourceSpec spec, SourceMemory& memory, TransactionLog& log);
  ~PostgresSource() override;
  PostgresSource(const PostgresSource&) = delete;
  PostgresSource& operator=(const PostgresSource&) = delete;

  /// Connects, proves that this is the history the log holds, and makes publication and slot when they were never
  /// made; a new log then begins with a progress record at the slot's consistent point. Waits (for the server, for
  /// running transactions at slot creation) until stopped.
  /// Throws RefusedError or BadConfigError with the remedy: wrong address or password, wal_level, rights, no table, a
  /// foreign slot, a lost slot, a fork or gap of history. RetryError when the server cannot be reached for now.
  void prepare(std::stop_token stop) override;

  void accept_gap() override;

  /// Streams until stopped, reconnecting with back-off; returns after a last acknowledgement of what is durable.
  /// Throws RefusedError for what stays refused, CorruptionError from the log.
  void stream(std::stop_token stop) override;

  /// The tables that are published and wanted, for copying under one snapshot. The first call after the slot was made
  /// uses the slot's own snapshot; later ones take a new snapshot and wait until it contains every transaction whose
  /// commit record is in the WAL now. `only`: when not empty, just these tables. Throws as prepare() does.
  std::unique_ptr<sources::Copy> begin_copy(std::stop_token stop, const std::vector<sources::TableName>& only) override;

  FencedRows read_keys(const RelationPtr& relation, const std::vector<std::string>& keys,
                       std::stop_token stop) override;
  void check_condition(const sources::TableName& table, const std::string& where) override;
  SourceStatus status() const override;

  /// The server's WAL insert position now, after which a transactional message ("tailrace.nudge") is written so that
  /// the stream soon passes it. Where the role may not write, the position alone: keepalives then pass it.
  Lsn request_current_end() override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tailrace::postgres
