#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sinks/lake/ducklake_snapshot.h"
#include "sinks/local_state.h"
#include "sinks/row_target.h"

struct sqlite3;

namespace tailrace::lake {

/// What becomes true at once.
struct DuckLakeStep {
  /// Tables that begin anew.
  std::vector<std::shared_ptr<const TableShape>> made;
  std::vector<DuckLakeFile> files;
  sinks::StateChanges state;
  SnapshotNote note;
};

/// A catalog of DuckLake in a SQLite file, and in it what the sink remembers (docs/ducklake.md). Owned by the target;
/// any thread. Throws RetryError TR912 (busy, full), RefusedError TR913 (rights), TR914 (no catalog that this version
/// knows), TR915 (a table of somebody else).
class DuckLakeCatalog {
 public:
  /// Looks at the file, when it is there, and changes nothing. `data_path`: where files lie, with a slash at its end.
  DuckLakeCatalog(std::filesystem::path file, std::string data_path);
  ~DuckLakeCatalog();
  DuckLakeCatalog(const DuckLakeCatalog&) = delete;
  DuckLakeCatalog& operator=(const DuckLakeCatalog&) = delete;

  sinks::StateMap state();
  /// Makes the file when it is missing, with the directory above it, and what it lacks. To be called before all that is
  /// below.
  void prepare();
  /// Of the last step that was made.
  std::uint64_t number() const;
  /// The number of the table's last change that is in the lake.
  Seq through(Oid table);
  /// Throws RefusedError TR915 where somebody else has a table of that name.
  void refuse_foreign(const Relation& relation);

  /// A file is about to be written that no table names yet. Durable on return.
  void note_file(const std::string& path);
  /// Those that were noted and never named.
  std::vector<std::string> unnamed_files();
  void forget_file(const std::string& path);

  /// Makes the next step. Throws RetryError TR855 when somebody else made it.
  void commit(const DuckLakeStep& step);

 private:
  class Transaction;

  void connect();
  void run(const char* sql);
  bool has_table(const char* name);
  /// Throws RefusedError TR914 for what this version does not write.
  void see();
  void make();
  void make_step(const DuckLakeStep& step);

  struct Close {
    void operator()(sqlite3* db) const;
  };

  const std::filesystem::path file_;
  const std::string data_path_;
  mutable std::mutex mutex_;
  std::unique_ptr<sqlite3, Close> db_;
  std::uint64_t number_ = 0;
};

}  // namespace tailrace::lake
