#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/change_batch.h"
#include "pipeline/fact_store.h"
#include "sinks/local_state.h"
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
  /// For record_sink(): of these tables, or (`all_outcomes`) of no others.
  sinks::TableOutcomes outcomes = {};
  bool all_outcomes = false;
  /// Whether the configuration still names it.
  bool attached = true;
};

/// A table as it was from a place of the log on.
struct SchemaVersion {
  Position from;
  PgTime since;
  /// In what it differs from the one before, for people.
  std::string what;
  RelationPtr relation;
};

/// What attach_sinks() found to be different from the last start.
struct SinkChanges {
  /// From, to.
  std::vector<std::pair<std::string, std::string>> renamed;
  /// Sinks that are named no more, and of which a cursor or letters are kept.
  std::vector<SinkRecord> detached;
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
  const std::filesystem::path& path() const { return path_; }
  /// Empty until facts were saved.
  std::string source_id();

  /// What the pipeline is: the name, for commands that find only the directory.
  void set_text(const std::string& key, const std::string& text);
  std::string text(const std::string& key);

  /// Remembers how far a sink is; a mirror of what stands in the target, allowed to lag behind.
  void record_sink(const SinkRecord& record);
  /// Without what became of changes by table.
  std::vector<SinkRecord> sinks();
  /// What became of a sink's changes by table.
  sinks::TableOutcomes outcomes(const std::string& sink);
  /// Says which sinks the pipeline has from now on (name, kind and display count). Another name for a known target
  /// takes cursor and letters along. Sinks that are not named are detached: their cursor and letters stay, and come
  /// back with the name; they are forgotten only where there is neither. Throws BadConfigError TR520 when a name is
  /// given to the target of another sink while it stands for a target of its own.
  SinkChanges attach_sinks(const std::vector<SinkRecord>& named);
  /// What attach_sinks() would find, and throw; changes nothing.
  SinkChanges changes_to(const std::vector<SinkRecord>& named);

  /// Durable on return. A letter of the same sink, position and table is replaced, keeps its number, and was tried once
  /// more.
  void store_letters(const std::string& sink, const std::vector<sinks::DeadLetter>& letters);
  /// Removes letters that do not lie below what the target holds: their range is applied again. Without a cursor, all
  /// but those of tables (schema.table) whose copy is complete.
  void remove_letters_above(const std::string& sink, const std::optional<Cursor>& cursor,
                            const std::vector<std::string>& copied);
  bool has_letters(const std::string& sink, const std::string& schema, const std::string& table);
  std::uint64_t count_letters(const std::string& sink);

  /// What a sink keeps here whose target keeps nothing.
  sinks::StateMap sink_state(const std::string& sink);
  /// All or nothing, durable on return.
  void change_sink_state(const std::string& sink, const sinks::StateChanges& changes);

  /// Durable on return; one that is known at this place stays.
  void store_schema_version(const SchemaVersion& version);
  /// The version in force at that place.
  std::optional<SchemaVersion> schema_version(Oid oid, const Position& at);
  /// Of all tables, in order of their places.
  std::vector<SchemaVersion> schema_versions();

 private:
  class Statement;

  std::vector<SinkRecord> read_sinks();
  void record_cursor(const SinkRecord& record);
  void record_outcomes(const SinkRecord& record);
  /// Under which the catalog keeps this version of a table. `numbers`: those that were asked for.
  std::uint64_t number_of(const RelationPtr& relation, std::map<const Relation*, std::uint64_t>& numbers);
  void store_pieces(std::uint64_t id, const sinks::DeadLetter& letter);
  /// All or nothing. REQUIRES: mutex_ is held.
  void change(const std::function<void()>& change);
  void execute(const char* sql);
  void prepare_schema(Access access);
  [[noreturn]] void fail(const char* doing) const;

  std::mutex mutex_;
  std::filesystem::path path_;
  sqlite3* db_ = nullptr;  // guarded by mutex_
  /// False for a catalog of an earlier version that is only looked at.
  bool has_schema_history_ = true;
};

/// One sink's state in the catalog (see LocalState), which outlives it.
class CatalogState final : public sinks::LocalState {
 public:
  CatalogState(Catalog& catalog, std::string sink) : catalog_(catalog), sink_(std::move(sink)) {}
  sinks::StateMap load() override { return catalog_.sink_state(sink_); }
  void save(const sinks::StateChanges& changes) override { catalog_.change_sink_state(sink_, changes); }

 private:
  Catalog& catalog_;
  const std::string sink_;
};

}  // namespace tailrace::pipeline
