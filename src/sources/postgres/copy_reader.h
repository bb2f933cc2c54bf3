#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "model/relation.h"
#include "sources/postgres/channel.h"
#include "sources/postgres/connection.h"
#include "sources/postgres/copy_pace.h"
#include "sources/postgres/copy_text.h"
#include "sources/postgres/receive_buffer.h"
#include "sources/postgres/snapshot_copy.h"

namespace tailrace::postgres {

/// What a reader is to read in one short transaction: a table or a range of its pages.
struct CopyChunk {
  std::string snapshot_name;
  const TableToCopy* table = nullptr;
  /// First page, and the one after the last; `whole` reads without bounds, `open_end` without the second.
  std::uint64_t first_page = 0;
  std::uint64_t end_page = 0;
  bool whole = false;
  bool open_end = false;
  /// SQL; only rows for which it holds.
  std::string condition;
};

/// One connection that reads chunks and turns them into blocks of tuples. Used by one thread at a time. After any
/// throw it is of no more use.
class CopyReader {
 public:
  /// `pace` outlives this. `scratch_directory`: where very long rows lie.
  CopyReader(std::unique_ptr<Connection> connection, CopyPace& pace, std::filesystem::path scratch_directory);

  /// Reads a chunk and gives its rows to `receiver`, in blocks. False when it was stopped (then of no more use).
  /// Throws RetryError (TR121) when the table is not what the snapshot shows.
  bool read(const CopyChunk& chunk, RowReceiver& receiver, CopyProgress& progress, std::stop_token stop);
  /// Gives the rows that wait for a full block, then waits as the pace wants it.
  void flush(RowReceiver& receiver, CopyProgress& progress, const std::stop_token& stop);
  /// Begins another table. REQUIRES: flushed.
  void begin_table(const RelationPtr& relation);

 private:
  std::string chunk_sql(const CopyChunk& chunk) const;
  /// True when the chunk's last message was taken.
  bool take(const BackendMessage& message, RowReceiver& receiver, CopyProgress& progress, const std::stop_token& stop);
  void take_row(ByteView line, RowReceiver& receiver, CopyProgress& progress, const std::stop_token& stop);
  /// REQUIRES: flushed.
  void take_long_row(ByteView line);

  std::unique_ptr<Connection> connection_;
  CopyPace& pace_;
  const std::filesystem::path scratch_directory_;
  std::unique_ptr<Channel> channel_;
  ReceiveBuffer buffer_;
  CopyTextDecoder decoder_{0};
  CopiedRows rows_;
  /// Bytes of rows_.tuples that are tuples; the rest is room.
  std::size_t used_ = 0;
  /// A condition of the user's is asked of each row.
  bool conditional_ = false;
};

}  // namespace tailrace::postgres
