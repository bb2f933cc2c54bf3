#include "sources/postgres/copy_reader.h"

#include <poll.h>

#include <utility>

#include "base/crash_point.h"
#include "base/error.h"
#include "sources/postgres/server_error.h"
#include "sources/postgres/sql_condition.h"

namespace tailrace::postgres {
namespace {

/// An exported snapshot goes with the session that keeps it; versions before 17 call its name invalid then.
bool is_gone_snapshot(const ServerError& error) {
  return (error.sqlstate == "22023" && error.message.find("snapshot identifier") != std::string::npos) ||
         (error.sqlstate == "42704" && error.message.starts_with("snapshot \""));
}

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
constexpr std::size_t kSmallestRead = std::size_t{128} << 10;

[[noreturn]] void table_changed(const Relation& relation, const std::string& how) {
  throw RetryError("TR121", "table " + relation.display_name() + " changed while it was copied: " + how,
                   "none needed: it is copied again under a new snapshot");
}

/// SQL: whether the table and its columns still bear the names that the relation gives them.
std::string names_hold(const Connection& sql, const Relation& relation) {
  const std::string table = "ARRAY[" + sql.quoted_text(relation.schema) + ", " + sql.quoted_text(relation.name);
  std::string places = "(0, NULL)";
  for (const Column& column : relation.columns)
    places += ", (" + std::to_string(column.attnum) + ", " + sql.quoted_text(column.name) + ")";
  return "(SELECT bool_and((pg_identify_object_as_address('pg_class'::regclass, " +
         std::to_string(relation.oid.value()) + ", v.n)).object_names = array_remove(" + table +
         ", v.c], NULL)) FROM (VALUES " + places + ") AS v(n, c))";
}

}  // namespace

CopyReader::CopyReader(std::unique_ptr<Connection> connection, CopyPace& pace, std::filesystem::path scratch_directory)
    : connection_(std::move(connection)),
      pace_(pace),
      scratch_directory_(std::move(scratch_directory)),
      channel_(open_channel(*connection_)),
      buffer_(std::size_t{512} << 10, scratch_directory_) {}

void CopyReader::begin_table(const RelationPtr& relation) {
  rows_.relation = relation;
  rows_.count = 0;
  used_ = 0;
  decoder_ = CopyTextDecoder(static_cast<std::uint16_t>(relation->columns.size()));
}

std::string CopyReader::chunk_sql(const CopyChunk& chunk) const {
  const Relation& relation = *chunk.table->relation;
  const std::string oid = std::to_string(relation.oid.value());
  const std::string name = connection_->quoted_name(relation.schema) + "." + connection_->quoted_name(relation.name);
  const std::string only = chunk.table->partitioned ? name : "ONLY " + name;
  std::string columns;
  for (const Column& column : relation.columns)
    columns += (columns.empty() ? "" : ", ") + connection_->quoted_name(column.name);
  std::string where;
  const auto also = [&](const std::string& condition) { where += (where.empty() ? " WHERE " : " AND ") + condition; };
  if (!chunk.whole) also("ctid >= '(" + std::to_string(chunk.first_page) + ",0)'::tid");
  if (!chunk.whole && !chunk.open_end) also("ctid < '(" + std::to_string(chunk.end_page) + ",0)'::tid");
  if (!chunk.table->row_filter.empty()) also("(" + chunk.table->row_filter + ")");
  if (!chunk.condition.empty()) also("(" + chunk.condition + ")");
  // A comment at its end ends with the line.
  if (!chunk.table->where.empty()) also("(\n" + chunk.table->where + "\n)");
  // The catalog rows are read under the snapshot, the functions look at now: rewritten since, rows may be missing;
  // renamed since, the names in this query mean another table or column.
  const std::string names = names_hold(*connection_, relation);
  const std::string storage =
      chunk.table->partitioned
          ? "SELECT COALESCE(bool_and(c.relfilenode = pg_relation_filenode(c.oid)), true) AND " + names +
                " FROM pg_partition_tree(" + oid + ") t JOIN pg_class c ON c.oid = t.relid WHERE t.isleaf"
          : "SELECT c.relfilenode = pg_relation_filenode(c.oid) AND " + names + " FROM pg_class c WHERE c.oid = " + oid;
  return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT " +
         connection_->quoted_text(chunk.snapshot_name) + "; LOCK TABLE " + only + " IN ACCESS SHARE MODE; " + storage +
         "; COPY (SELECT " + columns + " FROM " + only + where + ") TO STDOUT; COMMIT";
}

bool CopyReader::read(const CopyChunk& chunk, RowReceiver& receiver, CopyProgress& progress, std::stop_token stop) {
  conditional_ = !chunk.table->where.empty();
  channel_->write(query_message(chunk_sql(chunk)));
  while (true) {
    const ReceiveBuffer::Space space = buffer_.space(kSmallestRead);
    const std::size_t got = channel_->read(space.at, space.size);
    buffer_.filled(got);
    while (const auto message = buffer_.next())
      if (take(*message, receiver, progress, stop)) return true;
    if (stop.stop_requested()) return false;
    if (got > 0) continue;
    pollfd wait{channel_->fd(), POLLIN, 0};
    poll(&wait, 1, 100);
  }
}

bool CopyReader::take(const BackendMessage& message, RowReceiver& receiver, CopyProgress& progress,
                      const std::stop_token& stop) {
  switch (message.type) {
    case 'd': take_row(message.body, receiver, progress, stop); return false;
    case 'D':
      // One boolean column: count 1, length 1, the letter.
      if (message.body.size() != 7 || message.body.back() != 't') table_changed(*rows_.relation, "it was rewritten");
      return false;
    case 'E': {
      const ServerError error = parse_server_error(message.body);
      if (is_gone_snapshot(error))
        throw ReconnectError("TR130", "the session that kept the copy's snapshot is gone: " + error.shown(),
                             "none needed: the copy is begun again");
      if (error.sqlstate == "42P01" || error.sqlstate == "42703" || error.sqlstate == "3F000")
        table_changed(*rows_.relation, "it or a column is gone or renamed");
      // Another try does not help.
      if (conditional_ &&
          (error.sqlstate.starts_with("22") || error.sqlstate.starts_with("42") || error.sqlstate.starts_with("P0") ||
           error.sqlstate.starts_with("38") || error.sqlstate == "25006"))
        refuse_condition(rows_.relation->display_name(), "it fails on a row: " + error.shown());
      throw_server_error(error, "copying " + rows_.relation->display_name());
    }
    case 'Z': return true;
    default: return false;
  }
}

void CopyReader::take_row(ByteView line, RowReceiver& receiver, CopyProgress& progress, const std::stop_token& stop) {
  const std::size_t most = decoder_.most_bytes(line.size());
  if (used_ > 0 && used_ + most > kBlockBytes) {
    TAILRACE_CRASH_POINT("copy.mid_table");
    flush(receiver, progress, stop);
  }
  if (line.size() >= long_bytes()) {
    // A test's bound may be below that of a block.
    flush(receiver, progress, stop);
    take_long_row(line);
    return flush(receiver, progress, stop);
  }
  if (rows_.tuples.size() < used_ + most) rows_.tuples.resize(std::max(kBlockBytes, used_ + most));
  const char* end = decoder_.decode(line, rows_.tuples.data() + used_);
  used_ = static_cast<std::size_t>(end - rows_.tuples.data());
  ++rows_.count;
}

void CopyReader::take_long_row(ByteView line) {
  const auto file = std::make_shared<FileBytes>(scratch_directory_, decoder_.most_bytes(line.size()));
  const char* end = decoder_.decode_long(line, file->data());
  rows_.held_tuple = {file->data(), static_cast<std::size_t>(end - file->data())};
  rows_.held = file;
  rows_.count = 1;
}

void CopyReader::flush(RowReceiver& receiver, CopyProgress& progress, const std::stop_token& stop) {
  if (rows_.count == 0) return;
  if (!rows_.held) rows_.tuples.resize(used_);
  progress.rows += rows_.count;
  progress.bytes += rows_.bytes().size();
  RelationPtr relation = rows_.relation;
  receiver.take(rows_);
  rows_.relation = std::move(relation);
  rows_.held.reset();
  // A huge row's room is not kept.
  if (rows_.tuples.capacity() > 4 * kBlockBytes) rows_.tuples = std::string();
  const std::uint64_t given = std::exchange(rows_.count, 0);
  used_ = 0;
  pace_.spend(given, progress, stop);
}

}  // namespace tailrace::postgres
