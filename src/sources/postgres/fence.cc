#include "sources/postgres/fence.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "model/tuple.h"
#include "sources/postgres/standby.h"

namespace tailrace::postgres {
namespace {

constexpr const char* kFencing = "taking a fence";
constexpr const char* kBegin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

Fence take_fence(Connection& sql) {
  const Rows rows = sql.query(std::string("SELECT pg_current_snapshot(), ") + kWalEnd +
                                  ", (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
                              kFencing);
  const auto snapshot = SnapshotXids::parse(rows.at(0, 0));
  if (!snapshot) throw DefectError("a snapshot of the server cannot be read");
  const auto taken_at = PgTime::from_unix_micros(static_cast<std::int64_t>(rows.unsigned_number(0, 2)));
  return {*snapshot, rows.lsn(0, 1), taken_at};
}

std::string qualified(const Connection& sql, const Relation& relation) {
  return sql.quoted_name(relation.schema) + "." + sql.quoted_name(relation.name);
}

/// Throws unless the table of that name is still the relation's, with its columns. Gives whether it is partitioned.
bool verify_table(Connection& sql, const Relation& relation) {
  const Rows rows = sql.query(
      "SELECT c.relkind, a.attnum, a.attname, a.atttypid, a.atttypmod FROM pg_class c JOIN pg_namespace n ON n.oid = "
      "c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.oid = $1::oid AND n.nspname = $2 AND c.relname "
      "= "
      "$3 AND a.attnum > 0 AND NOT a.attisdropped",
      {std::to_string(relation.oid.value()), relation.schema, relation.name}, "looking at a table");
  const auto unchanged = [&](const Column& column) {
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (rows.number(i, 1) == column.attnum)
        return rows.at(i, 2) == column.name && rows.oid(i, 3) == column.type.declared &&
               rows.number(i, 4) == column.type.typmod;
    return false;
  };
  if (!std::ranges::all_of(relation.columns, unchanged))
    throw RetryError("TR121", relation.display_name() + " was altered meanwhile",
                     "none needed: the stream tells of it");
  return rows.at(0, 0) == "p";
}

void append_row(const Rows& rows, std::size_t row, std::size_t columns, std::string& out) {
  TupleWriter writer(out, static_cast<std::uint16_t>(columns));
  for (std::size_t i = 0; i < columns; ++i) {
    if (rows.is_null(row, i))
      writer.null();
    else
      writer.text(rows.at(row, i));
  }
}

}  // namespace

/// "(a = '1' AND b = 'x') OR (...)" with every literal cast to the column's own type.
std::string keys_condition(const Connection& sql, const Relation& relation, const std::vector<std::string>& keys) {
  const std::vector<std::size_t> key_columns = relation.match_key();
  std::string out;
  for (const std::string& key : keys) {
    ByteReader in(key);
    const TupleView tuple = measure_tuple(in);
    if (tuple.size() != key_columns.size()) throw DefectError("a key with another number of columns than its table's");
    TupleView::Cursor fields = tuple.begin();
    out += out.empty() ? "(" : " OR (";
    for (std::size_t i = 0; i < key_columns.size(); ++i) {
      const Column& column = relation.columns[key_columns[i]];
      const Field field = fields.next();
      if (field.kind != FieldKind::kText) throw DefectError("a key without a value");
      if (i > 0) out += " AND ";
      out += sql.quoted_name(column.name) + " = " + sql.quoted_text(field.bytes) + "::" + column.type.display;
    }
    out += ')';
  }
  return out;
}

/// A snapshot does not tell them all: those from its xmax on may or may not exist. But each holds a lock on its id from
/// before it writes anything until after it has become visible, prepared ones too. Other databases' transactions change
/// nothing here.
std::vector<Xid> running_transactions(Connection& sql) {
  const Rows rows = sql.query(
      "SELECT l.transactionid FROM pg_locks l WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND "
      "l.granted AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = l.pid AND a.datname <> "
      "current_database()) AND NOT EXISTS (SELECT FROM pg_prepared_xacts p WHERE p.transaction = l.transactionid AND "
      "p.database <> current_database())",
      "listing the transactions that run");
  std::vector<Xid> running;
  for (std::size_t i = 0; i < rows.size(); ++i)
    running.emplace_back(static_cast<std::uint32_t>(rows.unsigned_number(i, 0)));
  return running;
}

Fence begin_fence(Connection& sql) {
  return take_fence_through(sql, [&] {
    sql.query(kBegin, kFencing);
    return take_fence(sql);
  });
}

Fence begin_fence_on(Connection& sql, const std::string& exported_snapshot) {
  sql.query(std::string(kBegin) + "; SET TRANSACTION SNAPSHOT " + sql.quoted_text(exported_snapshot),
            "importing the copy's snapshot");
  return take_fence(sql);
}

Fence begin_settled_fence(Connection& sql, std::stop_token stop, const std::function<void()>& waiting) {
  constexpr int kTriesPerReport = 10;
  std::vector<Xid> unsettled = running_transactions(sql);
  for (int tries = 1;; ++tries) {
    const Fence fence = begin_fence(sql);
    std::erase_if(unsettled, [&](Xid xid) { return fence.snapshot.contains(xid); });
    if (unsettled.empty()) return fence;
    sql.query("COMMIT", kFencing);
    if (stop.stop_requested())
      throw RetryError("TR127", "stopped while waiting for old transactions of the source to end", "start again");
    if (tries % kTriesPerReport == 0) waiting();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

FencedTable begin_fence_on_table(Connection& sql, const Relation& relation) {
  const std::string table = qualified(sql, relation);
  // Whoever waits for a lock holds up those behind him: not for long.
  const Fence fence = take_fence_through(sql, [&] {
    sql.query(
        std::string(kBegin) + "; SET LOCAL lock_timeout = '2s'; LOCK TABLE ONLY " + table + " IN ACCESS SHARE MODE",
        "locking a table for reading");
    return take_fence(sql);
  });
  return {fence, (verify_table(sql, relation) ? "" : "ONLY ") + table};
}

FencedRows read_keys(Connection& sql, const RelationPtr& relation, const std::vector<std::string>& keys,
                     const std::string& row_filter) {
  FencedRows out;
  out.rows.relation = relation;
  const FencedTable table = begin_fence_on_table(sql, *relation);
  out.fence = table.fence;
  if (!keys.empty()) {
    // Whoever is not waited for any more need not work for long.
    sql.query("SET LOCAL statement_timeout = '30s'", kFencing);
    std::string columns;
    for (const Column& column : relation->columns)
      columns += (columns.empty() ? "" : ", ") + sql.quoted_name(column.name);
    const std::string also = row_filter.empty() ? "" : " AND (" + row_filter + ")";
    const Rows rows = sql.query(
        "SELECT " + columns + " FROM " + table.name + " WHERE (" + keys_condition(sql, *relation, keys) + ")" + also,
        "reading rows by key");
    for (std::size_t i = 0; i < rows.size(); ++i) append_row(rows, i, relation->columns.size(), out.rows.tuples);
    out.rows.count = rows.size();
  }
  sql.query("COMMIT", kFencing);
  return out;
}

void nudge(Connection& sql) {
  if (at_standby(sql)) return;
  try {
    sql.query("SELECT pg_logical_emit_message(true, 'tailrace.nudge', '')", "writing a nudge");
  } catch (const RefusedError& error) {
    log::debug("source.nudge", "{}", error.what());
  }
}

Lsn ask_current_end(Connection& sql) {
  const Lsn end = sql.query(std::string("SELECT ") + kWalEnd, "asking for the end of WAL").lsn(0, 0);
  nudge(sql);
  return end;
}

}  // namespace tailrace::postgres
