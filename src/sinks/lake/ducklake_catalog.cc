#include "sinks/lake/ducklake_catalog.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <system_error>

#include "base/crash_point.h"
#include "base/error.h"
#include "sinks/lake/ducklake_tables.h"
#include "sqlite/statement.h"

namespace tailrace::lake {
namespace {

/// Of DuckLake's format.
constexpr const char* kVersion = "1.0";
/// How long a statement waits for somebody else's transaction.
constexpr int kBusyMillis = 5000;

class Statement : public sqlite::Statement {
 public:
  Statement(sqlite3* db, const std::filesystem::path& file, const char* sql)
      : sqlite::Statement(db, file, throw_ducklake_error, sql) {}
};

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& why) {
  throw RefusedError("TR914", fmt::format("{} {}", file.string(), why), "give the lake a `catalog` of its own");
}

}  // namespace

void throw_ducklake_error(sqlite3* db, const std::filesystem::path& file, const char* doing) {
  const int code = sqlite3_errcode(db);
  const std::string what =
      fmt::format("catalog {}: cannot {} a statement: {}", file.string(), doing, sqlite3_errmsg(db));
  switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: throw RetryError("TR912", what, "see who holds the catalog; it is tried again");
    case SQLITE_FULL:
    case SQLITE_IOERR: throw RetryError("TR912", what, "see that the disk of the catalog has room and works");
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      throw RefusedError("TR913", what, "give Tailrace the right to write the catalog and into its directory");
    default: throw RefusedError("TR914", what, "give the lake a `catalog` of its own, or bring it back from a backup");
  }
}

/// Undone unless it is committed.
class DuckLakeCatalog::Transaction {
 public:
  explicit Transaction(DuckLakeCatalog& catalog) : catalog_(catalog) { catalog_.run("BEGIN IMMEDIATE"); }
  ~Transaction() {
    if (!done_) sqlite3_exec(catalog_.db_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit() {
    catalog_.run("COMMIT");
    done_ = true;
  }

 private:
  DuckLakeCatalog& catalog_;
  bool done_ = false;
};

DuckLakeCatalog::DuckLakeCatalog(std::filesystem::path file, std::string data_path)
    : file_(std::move(file)), data_path_(std::move(data_path)) {
  if (!std::filesystem::exists(file_)) return;
  connect();
  see();
}

void DuckLakeCatalog::connect() {
  sqlite3* db = nullptr;
  const int opened = sqlite3_open_v2(file_.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  db_.reset(db);
  if (opened != SQLITE_OK) throw_ducklake_error(db, file_, "open");
  sqlite3_busy_timeout(db, kBusyMillis);
}

void DuckLakeCatalog::prepare() {
  const std::lock_guard lock(mutex_);
  if (!db_) {
    std::error_code ignored;
    // Where that fails the file cannot be opened either, which is told.
    std::filesystem::create_directories(file_.parent_path(), ignored);
    connect();
  }
  run("PRAGMA journal_mode = WAL");
  run("PRAGMA synchronous = FULL");
  Transaction transaction(*this);
  make();
  transaction.commit();
}

DuckLakeCatalog::~DuckLakeCatalog() = default;

void DuckLakeCatalog::Close::operator()(sqlite3* db) const { sqlite3_close(db); }

void DuckLakeCatalog::run(const char* sql) {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK)
    throw_ducklake_error(db_.get(), file_, "run");
}

bool DuckLakeCatalog::has_table(const char* name) {
  Statement known(db_.get(), file_, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name GLOB ?");
  return known.bind(std::string(name)).step();
}

void DuckLakeCatalog::see() {
  if (!has_table("ducklake_metadata")) {
    if (has_table("*")) refuse(file_, "is a SQLite database without a catalog of DuckLake");
    return;
  }
  const auto value = [this](const char* key) {
    Statement known(db_.get(), file_, "SELECT value FROM ducklake_metadata WHERE key = ? AND scope IS NULL");
    return known.bind(std::string(key)).step() ? known.text(0) : std::string();
  };
  if (const std::string version = value("version"); version != kVersion)
    refuse(file_, fmt::format("has DuckLake's format {}, and this version writes {}", version, kVersion));
  if (value("encrypted") == "true") refuse(file_, "asks for encrypted files, which this version does not write");
  if (const std::string there = value("data_path"); there != data_path_)
    refuse(file_, fmt::format("has its files in {}, and not in {}", there, data_path_));
}

void DuckLakeCatalog::make() {
  if (!has_table("*")) {
    run(kDuckLakeTables);
    Statement(db_.get(), file_, "INSERT INTO ducklake_schema VALUES (0, ?, 0, NULL, 'main', 'main/', 1)")
        .bind(new_uuid())
        .run();
    Statement(db_.get(), file_, "INSERT INTO ducklake_metadata VALUES ('data_path', ?, NULL, NULL)")
        .bind(data_path_)
        .run();
  }
  see();
  run(kOwnTables);
  Statement step(db_.get(), file_, "SELECT number FROM tailrace_step");
  step.step();
  number_ = step.number(0);
}

sinks::StateMap DuckLakeCatalog::state() {
  const std::lock_guard lock(mutex_);
  sinks::StateMap state;
  if (!db_ || !has_table("tailrace_state")) return state;
  Statement rows(db_.get(), file_, "SELECT key, value FROM tailrace_state");
  while (rows.step()) state[rows.text(0)] = rows.text(1);
  return state;
}

std::uint64_t DuckLakeCatalog::number() const {
  const std::lock_guard lock(mutex_);
  return number_;
}

Seq DuckLakeCatalog::through(Oid table) {
  const std::lock_guard lock(mutex_);
  Statement known(db_.get(), file_, "SELECT through FROM tailrace_table WHERE oid = ?");
  return known.bind(std::uint64_t{table.value()}).step() ? Seq(known.number(0)) : Seq(0);
}

void DuckLakeCatalog::refuse_foreign(const Relation& relation) {
  const std::lock_guard lock(mutex_);
  Statement known(
      db_.get(), file_,
      "SELECT 1 FROM ducklake_table t JOIN ducklake_schema s ON s.schema_id = t.schema_id AND s.end_snapshot "
      "IS NULL WHERE t.end_snapshot IS NULL AND s.schema_name = ? AND t.table_name = ? AND NOT EXISTS "
      "(SELECT 1 FROM tailrace_table o WHERE o.table_id = t.table_id)");
  if (known.bind(relation.schema).bind(relation.name).step())
    throw RefusedError(
        "TR915", fmt::format("{} has a table {} that is not of this pipeline", file_.string(), relation.display_name()),
        "rename that table, or give the lake another `catalog`");
}

void DuckLakeCatalog::note_file(const std::string& path) {
  const std::lock_guard lock(mutex_);
  Statement(db_.get(), file_, "INSERT OR IGNORE INTO tailrace_file VALUES (?)").bind(path).run();
}

std::vector<std::string> DuckLakeCatalog::unnamed_files() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> paths;
  Statement rows(db_.get(), file_, "SELECT path FROM tailrace_file");
  while (rows.step()) paths.push_back(rows.text(0));
  return paths;
}

void DuckLakeCatalog::forget_file(const std::string& path) {
  const std::lock_guard lock(mutex_);
  Statement(db_.get(), file_, "DELETE FROM tailrace_file WHERE path = ?").bind(path).run();
}

void DuckLakeCatalog::commit(const DuckLakeStep& step) {
  const std::lock_guard lock(mutex_);
  TAILRACE_CRASH_POINT("ducklake.before_commit");
  Transaction transaction(*this);
  make_step(step);
  TAILRACE_CRASH_POINT("ducklake.committing");
  transaction.commit();
  ++number_;
  TAILRACE_CRASH_POINT("ducklake.committed");
}

void DuckLakeCatalog::make_step(const DuckLakeStep& step) {
  Statement(db_.get(), file_, "UPDATE tailrace_step SET number = number + 1 WHERE number = ?").bind(number_).run();
  if (sqlite3_changes(db_.get()) != 1)
    throw RetryError("TR855", "somebody else writes into this lake with our name",
                     "see that only one process runs this pipeline; the lake is opened again");
  DuckLakeSnapshot snapshot(db_.get(), file_);
  for (const auto& shape : step.made) snapshot.make_table(*shape);
  for (const DuckLakeFile& file : step.files) {
    snapshot.add_file(file);
    Statement(db_.get(), file_, "DELETE FROM tailrace_file WHERE path = ?")
        .bind(file.shape->folder() + file.name)
        .run();
  }
  snapshot.finish(step.note);
  Statement put(db_.get(), file_, "INSERT OR REPLACE INTO tailrace_state VALUES (?, ?)");
  Statement drop(db_.get(), file_, "DELETE FROM tailrace_state WHERE key = ?");
  for (const auto& [key, value] : step.state) {
    if (value) {
      put.bind(key).bind_blob(*value).run();
    } else {
      drop.bind(key).run();
    }
  }
}

}  // namespace tailrace::lake
