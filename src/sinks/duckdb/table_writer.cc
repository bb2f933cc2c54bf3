#include "sinks/duckdb/table_writer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/crash_point.h"

namespace tailrace::duckdb {

TableWriter::TableWriter(Connection& connection, TableBatch& batch)
    : connection_(connection),
      batch_(batch),
      table_(batch.table()),
      shape_(batch.shape()),
      filled_columns_(shape_.width(), false) {}

void TableWriter::write() {
  const bool multiset = shape_.multiset();
  const Change* contradiction = multiset ? batch_.multiset().contradiction() : batch_.keyed().contradiction();
  if (contradiction != nullptr)
    throw SuspectTable{&table_, batch_.position_of(*contradiction), "a change does not follow on those before it"};
  if (multiset) {
    write_multiset();
  } else {
    write_keyed();
  }
}

RowAppender& TableWriter::mirror_rows() {
  if (!table_.mirror_rows) table_.mirror_rows = table_.append_to_mirror(connection_);
  return *table_.mirror_rows;
}

RowAppender& TableWriter::history_rows() {
  if (!table_.history_rows) table_.history_rows = table_.append_to_history(connection_);
  return *table_.history_rows;
}

void TableWriter::expect(std::uint64_t wanted, std::uint64_t found, const Change& change, const char* what) {
  if (wanted == found) return;
  throw SuspectTable{&table_, batch_.position_of(change),
                     fmt::format("{} {} rows were to be found, {} were there", wanted, what, found)};
}

bool TableWriter::needs_target(const RowImage& image) const {
  if (image.fields == nullptr) return false;
  for (std::size_t n = 0; n < shape_.width(); ++n)
    if (image.fields[n].kind == FieldKind::kUnchanged) return true;
  return false;
}

TableWriter::Written TableWriter::write_row(RowAppender& rows, const RowImage& image) {
  FieldWalk walk(image);
  for (std::size_t n = 0; n < shape_.width(); ++n) {
    const Field field = walk.next();
    if (field.kind == FieldKind::kUnchanged) return Written::kUnchanged;
    if (!rows.put(n, field)) return Written::kRefused;
  }
  return Written::kWhole;
}

void TableWriter::write_keyed() {
  KeyedFold& fold = batch_.keyed();
  if (fold.empty()) return;
  clear_rows();
  fold.settle();
  const auto stage = [&](const RowImage& image, std::uint32_t base, bool version, const Change* ended_by) {
    if (base != KeyedFold::kNone && needs_target(image)) staged_.push_back({image, base, version, ended_by});
  };
  for (const auto& slot : fold.slots())
    if (slot.present) stage(slot.image, slot.base, false, nullptr);
  for (const auto& version : fold.versions()) stage(version.image, version.base, true, version.ended_by);
  if (!staged_.empty()) fill_staged();
  if (fold.truncated_by() != nullptr) {
    delete_all();
  } else {
    delete_keys();
  }
  TAILRACE_CRASH_POINT("duckdb.after_delete");
  if (shape_.history) {
    end_versions();
    write_versions();
  }
  write_slots();
  write_unseen();
  if (!staged_.empty()) insert_filled();
  TAILRACE_CRASH_POINT("duckdb.after_append");
  settle_incomplete();
}

void TableWriter::write_unseen() {
  const auto& unseen = batch_.keyed().unseen();
  if (unseen.empty()) return;
  RowAppender& mirror = mirror_rows();
  for (const Change* change : unseen) {
    const RowImage image{change, change->new_row, nullptr};
    const Written written = write_row(mirror, image);
    if (written == Written::kWhole) {
      mirror.end_row();
      if (!shape_.history) continue;
      RowAppender& history = history_rows();
      write_row(history, image);
      set_period(history, *change, nullptr);
      history.end_row();
      continue;
    }
    batch_.findings().outcomes.remove(change->kind, sinks::Outcome::kApplied);
    if (written == Written::kRefused) {
      batch_.refuse(*change, kValueNotHeld);
      continue;
    }
    batch_.findings().outcomes.add(change->kind, sinks::Outcome::kApplied);
    ByteView key;
    if (shape_.keyed() && read_key(change->new_row, {}, shape_.key, batch_.keyed().arena(), key))
      batch_.note_incomplete(*change, key);
  }
  mirror.flush();
  if (table_.history_rows) table_.history_rows->flush();
}

void TableWriter::write_slots() {
  RowAppender& mirror = mirror_rows();
  for (const auto& slot : batch_.keyed().slots()) {
    if (!slot.present || needs_target(slot.image)) continue;
    const Written written = write_row(mirror, slot.image);
    if (written != Written::kWhole)
      throw SuspectTable{&table_, batch_.position_of(*slot.image.change), "a value could not be written"};
    mirror.end_row();
  }
  mirror.flush();
}

void TableWriter::fill_staged() {
  for (const Staged& staged : staged_)
    for (std::size_t n = 0; n < shape_.width(); ++n)
      if (staged.image.fields[n].kind == FieldKind::kUnchanged) filled_columns_[n] = true;
  std::string flags;
  std::string values;
  for (std::size_t n = 0; n < shape_.width(); ++n) {
    if (filled_columns_[n]) {
      flags += fmt::format(", u{} BOOLEAN", n);
      values += fmt::format("CASE WHEN s.u{0} THEN t.{1} ELSE s.c{0} END AS c{0}, ", n,
                            identifier(shape_.relation->columns[n].name));
    } else {
      values += fmt::format("s.c{}, ", n);
    }
  }
  connection_.run(fmt::format("CREATE OR REPLACE TEMP TABLE tailrace_stage({}, {}, {}{}, is_version BOOLEAN)",
                              declared('c', shape_.types), history_columns(), declared('b', shape_.key_types()),
                              flags));
  stage_rows();
  std::string from = fmt::format("temp.tailrace_stage AS s JOIN {} AS t ON {}", table_.mirror_name(),
                                 equal_columns(*shape_.relation, shape_.key, "t", "s"));
  if (staged_.size() <= kFewRows) {
    connection_.run(fmt::format(
        "CREATE OR REPLACE TEMP TABLE tailrace_places AS SELECT t.rowid AS rid, s.rowid AS sid FROM {}", from));
    from = fmt::format(
        "temp.tailrace_places AS p JOIN temp.tailrace_stage AS s ON s.rowid = p.sid JOIN {} AS t ON "
        "t.rowid = p.rid",
        table_.mirror_name());
  }
  connection_.run(
      fmt::format("CREATE OR REPLACE TEMP TABLE tailrace_filled AS SELECT {}s.is_version, s.effective_from, "
                  "s.effective_to, s.is_current, s.from_lsn, s.to_lsn, s.from_seq, s.to_seq FROM {}",
                  values, from));
  connection_.run("DROP TABLE IF EXISTS temp.tailrace_places");
  const auto filled = connection_.rows("SELECT count(*)::VARCHAR FROM temp.tailrace_filled").front().front().second;
  expect(staged_.size(), std::stoull(filled), *staged_.front().image.change, "earlier");
}

/// The row, its period, the key of the row that supplies what is missing, and which columns are missing.
void TableWriter::stage_rows() {
  std::vector<TargetType> types = shape_.types;
  types.resize(shape_.width() + kHistoryColumns);
  for (const TargetType& type : shape_.key_types()) types.push_back(type);
  RowAppender rows(connection_, "temp", "tailrace_stage", types);
  for (const Staged& staged : staged_) {
    std::size_t at = 0;
    for (; at < shape_.width(); ++at) {
      const Field& field = staged.image.fields[at];
      if (field.kind == FieldKind::kUnchanged) {
        rows.set_null(at);
      } else if (!rows.put(at, field)) {
        throw SuspectTable{&table_, batch_.position_of(*staged.image.change), "a value could not be written"};
      }
    }
    set_period(rows, *staged.image.change, staged.ended_by);
    at += kHistoryColumns;
    split_key(batch_.keyed().slots()[staged.base].key, shape_.key.size(), key_fields_);
    for (const Field& field : key_fields_) rows.put(at++, field);
    for (std::size_t n = 0; n < shape_.width(); ++n)
      if (filled_columns_[n]) rows.set_bool(at++, staged.image.fields[n].kind == FieldKind::kUnchanged);
    rows.set_bool(at, staged.version);
    rows.end_row();
  }
  rows.flush();
}

void TableWriter::insert_filled() {
  const std::string list = staged_columns(shape_);
  connection_.run(fmt::format("INSERT INTO {}({}) SELECT {} FROM temp.tailrace_filled WHERE NOT is_version",
                              table_.mirror_name(), listed_columns(*shape_.relation), list));
  if (shape_.history)
    connection_.run(fmt::format("INSERT INTO {0}({1}, {2}) SELECT {3}, {2} FROM temp.tailrace_filled WHERE is_version",
                                table_.history_name(), listed_columns(*shape_.relation),
                                fmt::join(kHistoryColumnNames, ", "), list));
  connection_.run("DROP TABLE temp.tailrace_filled");
  connection_.run("DROP TABLE temp.tailrace_stage");
}

void TableWriter::delete_keys() {
  std::uint64_t count = 0;
  const Change* some = nullptr;
  for (const auto& slot : batch_.keyed().slots()) {
    if (!slot.existed) continue;
    if (count++ > 0) continue;
    connection_.run(fmt::format("CREATE OR REPLACE TEMP TABLE tailrace_keys({})", declared('b', shape_.key_types())));
  }
  if (count == 0) return;
  {
    RowAppender keys(connection_, "temp", "tailrace_keys", shape_.key_types());
    for (const auto& slot : batch_.keyed().slots()) {
      if (!slot.existed) continue;
      some = slot.last;
      split_key(slot.key, shape_.key.size(), key_fields_);
      for (std::size_t n = 0; n < key_fields_.size(); ++n)
        if (!keys.put(n, key_fields_[n])) throw SuspectTable{&table_, {}, "a key could not be read"};
      keys.end_row();
    }
    keys.flush();
  }
  const auto deleted =
      connection_.run(fmt::format("DELETE FROM {} AS t USING temp.tailrace_keys AS k WHERE {}", table_.mirror_name(),
                                  equal_columns(*shape_.relation, shape_.key, "t", "k")));
  connection_.run("DROP TABLE temp.tailrace_keys");
  expect(count, deleted, *some, "earlier");
}

void TableWriter::delete_all() { connection_.run("DELETE FROM " + table_.mirror_name()); }

void TableWriter::settle_incomplete() {
  for (const auto& slot : batch_.keyed().slots()) {
    if (slot.present && slot.base == KeyedFold::kNone && needs_target(slot.image)) {
      batch_.note_incomplete(*slot.image.change, slot.key);
    } else if (!table_.incomplete.empty()) {
      batch_.drop_incomplete(slot.key);
    }
  }
}

}  // namespace tailrace::duckdb
