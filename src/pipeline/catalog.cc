#include "pipeline/catalog.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "pipeline/catalog_statement.h"

namespace tailrace::pipeline {
namespace {

/// The first version had no schema history, the second no states of sinks; letters of the third had no number, version
/// of their table, attempts and time, and lay in one piece; the fourth had no outcomes by table.
constexpr int kSchemaVersion = 5;
constexpr std::uint64_t kWithSchemaHistory = 2;
constexpr std::uint64_t kWithSinkState = 3;
constexpr std::uint64_t kWithNumberedLetters = 4;
constexpr std::uint64_t kWithOutcomes = 5;
/// "TRce" in SQLite's application_id: tells a catalog from any other database.
constexpr int kApplicationId = 0x54526365;

constexpr const char* kSchema = R"(
CREATE TABLE text(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE source(one INTEGER PRIMARY KEY CHECK (one = 1), facts TEXT NOT NULL, source_id TEXT NOT NULL);
CREATE TABLE sink(name TEXT PRIMARY KEY, kind TEXT NOT NULL, display TEXT NOT NULL, has_cursor INTEGER NOT NULL,
  epoch INTEGER NOT NULL, commit_end INTEGER NOT NULL, ordinal INTEGER NOT NULL, seq INTEGER NOT NULL,
  commit_time INTEGER NOT NULL, received INTEGER NOT NULL, applied INTEGER NOT NULL, filtered INTEGER NOT NULL,
  dead_lettered INTEGER NOT NULL, held INTEGER NOT NULL) WITHOUT ROWID;
)";

constexpr const char* kSchemaHistory = R"(
CREATE TABLE schema_version(oid INTEGER NOT NULL, epoch INTEGER NOT NULL, commit_end INTEGER NOT NULL,
  ordinal INTEGER NOT NULL, since INTEGER NOT NULL, what TEXT NOT NULL, relation BLOB NOT NULL,
  PRIMARY KEY (oid, epoch, commit_end, ordinal)) WITHOUT ROWID;
)";

constexpr const char* kSinkState = R"(
CREATE TABLE sink_state(sink TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (sink, key)) WITHOUT ROWID;
)";

constexpr const char* kOutcomes = R"(
CREATE TABLE outcome(sink TEXT NOT NULL, table_name TEXT NOT NULL, operation INTEGER NOT NULL, applied INTEGER NOT NULL,
  filtered INTEGER NOT NULL, dead_lettered INTEGER NOT NULL, held INTEGER NOT NULL,
  PRIMARY KEY (sink, table_name, operation)) WITHOUT ROWID;
)";

// Rows of many bytes lie in pieces, and then `row` is empty: what SQLite takes and gives at once it has in memory, more
// than once. The pieces, put together, are the row.
constexpr const char* kDeadLetters = R"(
CREATE TABLE letter_relation(id INTEGER PRIMARY KEY, relation BLOB NOT NULL UNIQUE);
CREATE TABLE dead_letter(id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, epoch INTEGER NOT NULL,
  commit_end INTEGER NOT NULL, ordinal INTEGER NOT NULL, seq INTEGER NOT NULL, xid INTEGER NOT NULL,
  committed INTEGER NOT NULL, relation INTEGER REFERENCES letter_relation, table_schema TEXT NOT NULL,
  table_name TEXT NOT NULL, operation TEXT NOT NULL, reason TEXT NOT NULL, row BLOB NOT NULL, attempts INTEGER NOT NULL, failed_at INTEGER NOT NULL,
  UNIQUE (sink, epoch, commit_end, ordinal, table_schema, table_name));
CREATE TABLE dead_letter_piece(letter INTEGER NOT NULL REFERENCES dead_letter ON DELETE CASCADE,
  piece INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (letter, piece));
)";

constexpr const char* kNumberLetters = R"(
INSERT INTO dead_letter SELECT NULL, sink, epoch, commit_end, ordinal, seq, xid, 0, NULL, table_schema, table_name, operation,
  reason, row, 1, 0 FROM unnumbered_letter ORDER BY sink, epoch, commit_end, ordinal;
DROP TABLE unnumbered_letter;
)";

bool has_something(const SinkRecord& sink) { return sink.cursor || sink.dead_letters > 0; }

/// Known targets that have another name now: from, to.
std::vector<std::pair<std::string, std::string>> renamed_sinks(std::vector<SinkRecord> known,
                                                               const std::vector<SinkRecord>& named) {
  std::erase_if(known, [](const SinkRecord& sink) { return !has_something(sink); });
  std::vector<std::pair<std::string, std::string>> renamed;
  for (const SinkRecord& sink : named) {
    const auto target = std::ranges::find_if(known, [&sink](const SinkRecord& record) {
      return record.kind == sink.kind && record.display == sink.display;
    });
    if (target == known.end() || target->name == sink.name) continue;
    if (std::ranges::find(known, sink.name, &SinkRecord::name) != known.end()) {
      throw BadConfigError(
          "TR520",
          fmt::format("sink `{}` now writes {}, whose cursor and dead letters are those of sink `{}`", sink.name,
                      sink.display, target->name),
          fmt::format("name that target `{0}` as before, or give it a name that no sink had", target->name));
    }
    renamed.emplace_back(target->name, sink.name);
  }
  return renamed;
}

SinkChanges changes_between(std::vector<SinkRecord> known, const std::vector<SinkRecord>& named) {
  SinkChanges changes;
  changes.renamed = renamed_sinks(known, named);
  for (SinkRecord& sink : known) {
    for (const auto& [from, to] : changes.renamed)
      if (sink.name == from) sink.name = to;
    if (has_something(sink) && std::ranges::find(named, sink.name, &SinkRecord::name) == named.end())
      changes.detached.push_back(std::move(sink));
  }
  return changes;
}

}  // namespace

Catalog::Catalog(const std::filesystem::path& path, Access access) : path_(path) {
  const int flags = access == Access::kWrite ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READWRITE;
  if (sqlite3_open_v2(path.c_str(), &db_, flags | SQLITE_OPEN_FULLMUTEX, nullptr) != SQLITE_OK) {
    const std::string why = sqlite3_errmsg(db_);
    sqlite3_close(db_);
    throw BadConfigError("TR512", fmt::format("the catalog {} cannot be opened: {}", path.string(), why),
                         "check that the state directory is there, writable, and not full");
  }
  try {
    sqlite3_busy_timeout(db_, 10'000);
    prepare_schema(access);
  } catch (const Error&) {
    sqlite3_close(db_);
    throw;
  }
}

Catalog::~Catalog() { sqlite3_close(db_); }

void Catalog::prepare_schema(Access access) {
  std::uint64_t version = 0;
  std::uint64_t application = 0;
  {
    Statement statement(*this, "SELECT user_version, application_id FROM pragma_user_version, pragma_application_id");
    if (statement.step()) {
      version = statement.number(0);
      application = statement.number(1);
    }
  }
  if (application == kApplicationId && version > kSchemaVersion) {
    throw BadConfigError("TR510",
                         fmt::format("{} was written by a newer Tailrace (state version {})", path_.string(), version),
                         fmt::format("use that version; this one knows state up to version {}", kSchemaVersion));
  }
  if (application != kApplicationId) {
    Statement tables(*this, "SELECT count(*) FROM sqlite_schema");
    const bool empty = tables.step() && tables.number(0) == 0;
    if (!empty || access == Access::kRead) {
      throw CorruptionError("TR515", fmt::format("{} is not a catalog of Tailrace", path_.string()),
                            "name another state directory with --state");
    }
  }
  has_schema_history_ = access == Access::kWrite || version >= kWithSchemaHistory;
  if (access == Access::kRead) return;
  execute("PRAGMA foreign_keys = ON");
  execute("PRAGMA journal_mode = WAL");
  execute("PRAGMA synchronous = FULL");
  if (application == kApplicationId && version == kSchemaVersion) return;
  execute("BEGIN IMMEDIATE");
  const bool made = application == kApplicationId;
  if (!made) execute(kSchema);
  if (version < kWithSchemaHistory) execute(kSchemaHistory);
  if (version < kWithSinkState) execute(kSinkState);
  if (version < kWithNumberedLetters) {
    if (made) execute("ALTER TABLE dead_letter RENAME TO unnumbered_letter");
    execute(kDeadLetters);
    if (made) execute(kNumberLetters);
  }
  if (version < kWithOutcomes) execute(kOutcomes);
  execute(fmt::format("PRAGMA user_version = {}", kSchemaVersion).c_str());
  execute(fmt::format("PRAGMA application_id = {}", kApplicationId).c_str());
  execute("COMMIT");
}

void Catalog::execute(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail("run");
}

void Catalog::change(const std::function<void()>& change) {
  execute("BEGIN IMMEDIATE");
  try {
    change();
    execute("COMMIT");
  } catch (const Error&) {
    sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
}

void Catalog::fail(const char* doing) const { throw_catalog_error(db_, path_, doing); }

std::optional<std::string> Catalog::load_facts() {
  const std::lock_guard lock(mutex_);
  Statement statement(*this, "SELECT facts FROM source");
  if (!statement.step()) return std::nullopt;
  return statement.text(0);
}

void Catalog::save_facts(const std::string& facts, const std::string& source_id) {
  const std::lock_guard lock(mutex_);
  Statement(*this, "INSERT OR REPLACE INTO source VALUES (1, ?, ?)").bind(facts).bind(source_id).run();
}

std::string Catalog::source_id() {
  const std::lock_guard lock(mutex_);
  Statement statement(*this, "SELECT source_id FROM source");
  return statement.step() ? statement.text(0) : std::string();
}

void Catalog::set_text(const std::string& key, const std::string& text) {
  const std::lock_guard lock(mutex_);
  Statement(*this, "INSERT OR REPLACE INTO text VALUES (?, ?)").bind(key).bind(text).run();
}

std::string Catalog::text(const std::string& key) {
  const std::lock_guard lock(mutex_);
  Statement statement(*this, "SELECT value FROM text WHERE key = ?");
  statement.bind(key);
  return statement.step() ? statement.text(0) : std::string();
}

void Catalog::record_sink(const SinkRecord& record) {
  const std::lock_guard lock(mutex_);
  change([&] {
    record_cursor(record);
    record_outcomes(record);
  });
}

void Catalog::record_outcomes(const SinkRecord& record) {
  if (record.all_outcomes) Statement(*this, "DELETE FROM outcome WHERE sink = ?").bind(record.name).run();
  for (const auto& [table, counts] : record.outcomes) {
    for (std::size_t operation = 0; operation < sinks::OutcomeCounts::kOperations; ++operation) {
      Statement statement(*this, "INSERT OR REPLACE INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?)");
      statement.bind(record.name).bind(table).bind(std::uint64_t{operation});
      bool any = false;
      for (const sinks::Outcome outcome : sinks::kOutcomes) {
        any = any || counts.of(operation, outcome) != 0;
        statement.bind(counts.of(operation, outcome));
      }
      if (any) statement.run();
    }
  }
}

sinks::TableOutcomes Catalog::outcomes(const std::string& sink) {
  const std::lock_guard lock(mutex_);
  Statement statement(
      *this, "SELECT table_name, operation, applied, filtered, dead_lettered, held FROM outcome WHERE sink = ?");
  statement.bind(sink);
  sinks::TableOutcomes all;
  while (statement.step()) {
    sinks::OutcomeCounts& counts = all[statement.text(0)];
    const std::uint64_t operation = statement.number(1);
    if (operation >= sinks::OutcomeCounts::kOperations) continue;
    for (std::size_t n = 0; n < sinks::kOutcomes.size(); ++n)
      counts.set(operation, sinks::kOutcomes[n], static_cast<std::int64_t>(statement.number(static_cast<int>(2 + n))));
  }
  return all;
}

void Catalog::record_cursor(const SinkRecord& record) {
  const Cursor cursor = record.cursor.value_or(Cursor{});
  const sinks::Counters& counters = record.counters;
  Statement(*this, "INSERT OR REPLACE INTO sink VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(record.name)
      .bind(record.kind)
      .bind(record.display)
      .bind(std::uint64_t{record.cursor ? 1U : 0U})
      .bind(cursor.position)
      .bind(cursor.seq.value())
      .bind(cursor.commit_time.micros())
      .bind(counters.received)
      .bind(counters.applied)
      .bind(counters.filtered)
      .bind(counters.dead_lettered)
      .bind(counters.held)
      .run();
}

std::vector<SinkRecord> Catalog::sinks() {
  const std::lock_guard lock(mutex_);
  return read_sinks();
}

std::vector<SinkRecord> Catalog::read_sinks() {
  Statement statement(*this,
                      "SELECT name, kind, display, has_cursor, epoch, commit_end, ordinal, seq, commit_time, received, "
                      "applied, filtered, dead_lettered, held, "
                      "(SELECT count(*) FROM dead_letter d WHERE d.sink = sink.name), "
                      "coalesce((SELECT sink.name IN (SELECT j.value FROM json_each(t.value) j) FROM text t "
                      "WHERE t.key = 'sinks'), 1) FROM sink ORDER BY name");
  std::vector<SinkRecord> records;
  while (statement.step()) {
    SinkRecord record{.name = statement.text(0), .kind = statement.text(1), .display = statement.text(2)};
    if (statement.number(3) != 0) {
      record.cursor = Cursor{statement.position(4), Seq(statement.number(7)),
                             PgTime(static_cast<std::int64_t>(statement.number(8)))};
    }
    record.counters = {statement.number(9), statement.number(10), statement.number(11), statement.number(12),
                       statement.number(13)};
    record.dead_letters = statement.number(14);
    record.attached = statement.number(15) != 0;
    records.push_back(std::move(record));
  }
  return records;
}

SinkChanges Catalog::attach_sinks(const std::vector<SinkRecord>& named) {
  const std::lock_guard lock(mutex_);
  SinkChanges changes;
  change([&] {
    changes = changes_between(read_sinks(), named);
    for (const auto& [from, to] : changes.renamed) {
      Statement(*this, "DELETE FROM sink WHERE name = ?").bind(to).run();
      Statement(*this, "UPDATE sink SET name = ? WHERE name = ?").bind(to).bind(from).run();
      Statement(*this, "UPDATE dead_letter SET sink = ? WHERE sink = ?").bind(to).bind(from).run();
      Statement(*this, "DELETE FROM outcome WHERE sink = ?").bind(to).run();
      Statement(*this, "UPDATE outcome SET sink = ? WHERE sink = ?").bind(to).bind(from).run();
      Statement(*this, "DELETE FROM sink_state WHERE sink = ?").bind(to).run();
      Statement(*this, "UPDATE sink_state SET sink = ? WHERE sink = ?").bind(to).bind(from).run();
    }
    nlohmann::json names = nlohmann::json::array();
    for (const SinkRecord& sink : named) {
      names.push_back(sink.name);
      // Letters come before the first cursor, and need a sink to be found by.
      Statement(*this, "INSERT OR IGNORE INTO sink VALUES (?, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)")
          .bind(sink.name)
          .bind(sink.kind)
          .bind(sink.display)
          .run();
    }
    Statement(*this, "INSERT OR REPLACE INTO text VALUES ('sinks', ?)").bind(names.dump()).run();
    for (const SinkRecord& sink : read_sinks()) {
      if (sink.attached || has_something(sink)) continue;
      Statement(*this, "DELETE FROM sink WHERE name = ?").bind(sink.name).run();
      Statement(*this, "DELETE FROM outcome WHERE sink = ?").bind(sink.name).run();
      Statement(*this, "DELETE FROM sink_state WHERE sink = ?").bind(sink.name).run();
    }
  });
  return changes;
}

SinkChanges Catalog::changes_to(const std::vector<SinkRecord>& named) {
  const std::lock_guard lock(mutex_);
  return changes_between(read_sinks(), named);
}

sinks::StateMap Catalog::sink_state(const std::string& sink) {
  const std::lock_guard lock(mutex_);
  Statement statement(*this, "SELECT key, value FROM sink_state WHERE sink = ?");
  statement.bind(sink);
  sinks::StateMap state;
  while (statement.step()) state[statement.text(0)] = statement.text(1);
  return state;
}

void Catalog::change_sink_state(const std::string& sink, const sinks::StateChanges& changes) {
  const std::lock_guard lock(mutex_);
  change([&] {
    for (const auto& [key, value] : changes) {
      if (value) {
        Statement(*this, "INSERT OR REPLACE INTO sink_state VALUES (?, ?, ?)")
            .bind(sink)
            .bind(key)
            .bind_blob(*value)
            .run();
      } else {
        Statement(*this, "DELETE FROM sink_state WHERE sink = ? AND key = ?").bind(sink).bind(key).run();
      }
    }
  });
}

void Catalog::store_schema_version(const SchemaVersion& version) {
  const std::lock_guard lock(mutex_);
  Statement(*this, "INSERT OR IGNORE INTO schema_version VALUES (?, ?, ?, ?, ?, ?, ?)")
      .bind(std::uint64_t{version.relation->oid.value()})
      .bind(version.from)
      .bind(version.since.unix_micros())
      .bind(version.what)
      .bind_blob(encode_relation(*version.relation))
      .run();
}

std::optional<SchemaVersion> Catalog::schema_version(Oid oid, const Position& at) {
  const std::lock_guard lock(mutex_);
  Statement statement(*this,
                      "SELECT epoch, commit_end, ordinal, since, what, relation FROM schema_version WHERE oid = ? AND "
                      "(epoch, commit_end, ordinal) <= (?, ?, ?) ORDER BY epoch DESC, commit_end DESC, ordinal DESC");
  statement.bind(std::uint64_t{oid.value()}).bind(at);
  if (!statement.step()) return std::nullopt;
  return statement.schema_version();
}

std::vector<SchemaVersion> Catalog::schema_versions() {
  if (!has_schema_history_) return {};
  const std::lock_guard lock(mutex_);
  Statement statement(*this,
                      "SELECT epoch, commit_end, ordinal, since, what, relation FROM schema_version ORDER BY epoch, "
                      "commit_end, ordinal, oid");
  std::vector<SchemaVersion> versions;
  while (statement.step()) versions.push_back(statement.schema_version());
  return versions;
}

}  // namespace tailrace::pipeline
