#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "model/relation.h"
#include "pipeline/catalog.h"
#include "sinks/sink.h"

namespace tailrace::pipeline {

/// A dead letter as the catalog keeps it.
struct KeptLetter {
  /// Never used again in this catalog.
  std::uint64_t id = 0;
  std::string sink;
  /// Its relation is null where an earlier version kept it.
  sinks::DeadLetter letter;
  std::string schema;
  std::string table;
  /// How often the target was tried with it.
  std::uint64_t attempts = 1;
  /// When the last of them failed; nothing for letters that an earlier version kept.
  std::optional<PgTime> failed_at;
};

/// Which letters are meant.
struct LetterChoice {
  /// Empty: of all sinks.
  std::string sink;
  /// Empty: all of them.
  std::vector<std::uint64_t> ids;
  /// Schema and name; empty: of all tables.
  std::string schema = {};
  std::string table = {};
};

/// Letters of one sink, table and reason.
struct LetterCount {
  std::string sink;
  std::string table;
  std::string reason;
  std::uint64_t letters = 0;
};

/// The dead letters in a pipeline's catalog, for a command beside the running pipeline or without one. Owned by the
/// command, one thread.
class DeadLetters {
 public:
  /// Throws what opening the catalog throws, RefusedError TR223 when it has the form of an earlier version.
  explicit DeadLetters(const std::filesystem::path& catalog);
  ~DeadLetters();
  DeadLetters(const DeadLetters&) = delete;
  DeadLetters& operator=(const DeadLetters&) = delete;

  enum class Rows { kWithout, kWith };
  /// Calls `take` with each letter that is meant, by sink and in order of their places, one in memory at a time. Throws
  /// BadConfigError TR224 when an id is none of a letter that is meant, TR513 for an unknown sink.
  void for_each(const LetterChoice& choice, Rows rows, const std::function<void(const KeptLetter&)>& take);
  /// The letter, and all of its sink that are about the same row or one that became of it, in order of their places,
  /// all in memory. Of a table whose rows nothing tells apart: the letter alone. Throws as for_each() does,
  /// RefusedError TR227 for what an earlier version kept.
  std::vector<KeptLetter> chain(const std::string& sink, std::uint64_t id);
  /// The target was tried with it once more.
  void note_attempt(std::uint64_t id);
  std::vector<LetterCount> count(const std::string& sink);
  /// Removes them, durable on return; all or none. Gives how many. Throws as for_each() does.
  std::uint64_t drop(const LetterChoice& choice);

 private:
  void take_rows(std::uint64_t id, std::string bytes, sinks::DeadLetter& letter);
  RelationPtr relation(std::uint64_t number);
  void check_sink(const std::string& sink);
  void check_ids(const LetterChoice& choice);
  void execute(const char* sql);

  const std::filesystem::path path_;
  /// Tells what is wrong with the file.
  Catalog catalog_;
  sqlite3* db_ = nullptr;
  std::map<std::uint64_t, RelationPtr> relations_;
};

}  // namespace tailrace::pipeline
