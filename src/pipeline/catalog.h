#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "model/change_batch.h"
#include "pipeline/fact_store.h"
#include "sinks/sink.h"

struct sqlite3;
struct sqlite3_stmt;

namespace tailrace::pipeline {

/// What the catalog knows of a sink; never ahead of the target.
struct SinkRecord {
  std::string name;
  std::string kind;
  std::string display;
  std::optional<Cursor> cursor = {};
  sinks::Counters counters = {};
  std::uint64_t dead_letters = 0;
};

/// The small state of a pipeline: what the source remembers, how far sinks were last seen, dead letters, and the last
/// status. One SQLite file with a versioned schema. Owned by the pipeline, or by a command that only looks; any thread.
class Catalog : public FactStore {
 public:
  enum class Access { kWrite, kRead };

  /// Opens, or makes it with kWrite. Throws BadConfigError TR510 when a newer version of Tailrace wrote it,
  /// CorruptionError TR515 when it is damaged or no catalog.
  Catalog(const std::filesystem::path& path, Access access);
  ~Catalog() override;
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  std::optional<std::string> load_facts() override;
  void save_facts(const std::string& facts, const std::string& source_id) override;
  /// Empty until facts were saved.
  std::string source_id();

  /// What the pipeline is: the name, for commands that find only the directory.
  void set_text(const std::string& key, const std::string& text);
  std::string text(const std::string& key);

  /// Remembers how far a sink is; a mirror of what stands in the target, allowed to lag behind.
  void record_sink(const SinkRecord& record);
  std::vector<SinkRecord> sinks();
  /// Forgets sinks that are not named, with their letters.
  void keep_sinks(const std::vector<std::string>& names);

  /// Durable on return; a letter of the same sink, position and table is replaced.
  void store_letters(const std::string& sink, const std::vector<sinks::DeadLetter>& letters);
  /// Removes letters that do not lie below what the target holds: their range is applied again. Without a cursor, all
  /// but those of tables (schema.table) whose copy is complete.
  void remove_letters_above(const std::string& sink, const std::optional<Cursor>& cursor,
                            const std::vector<std::string>& copied);
  std::vector<sinks::DeadLetter> letters(const std::string& sink);
  std::uint64_t count_letters(const std::string& sink);

 private:
  class Statement;

  void execute(const char* sql);
  void prepare_schema(Access access);
  [[noreturn]] void fail(const char* doing) const;

  std::mutex mutex_;
  std::filesystem::path path_;
  sqlite3* db_ = nullptr;  // guarded by mutex_
};

}  // namespace tailrace::pipeline
