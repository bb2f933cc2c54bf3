#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/position.h"

namespace tailrace::duckdb {

/// A file of one export.
struct SafetyFile {
  std::string name;
  std::uint64_t bytes = 0;
  std::uint32_t crc = 0;
};

/// One export of a target's histories, a directory below the safety's root. A value.
struct SafetyExport {
  /// The target's cursor; its directory is named by it.
  Position at;
  /// The export that this one adds to; empty: it stands for itself.
  std::string after;
  /// The highest sequence number of a version's begin or end that is exported here or before.
  std::uint64_t mark = 0;
  std::string pipeline;
  std::string source_id;
  std::vector<SafetyFile> files;

  /// Epoch, LSN and ordinal in hexadecimal of fixed width: names order as positions do.
  std::string name() const;
  std::uint64_t bytes() const;
};

/// Where the safety of a target lies: FILE.history beside it.
std::filesystem::path safety_root(const std::filesystem::path& target);

/// Takes what was written into `part` for an export: notes its files with their checksums, syncs all of it, and gives
/// it its name below `root`. Throws RetryError TR628.
void seal_export(const std::filesystem::path& root, const std::filesystem::path& part, SafetyExport& made);

/// The last export with all it adds to, the oldest first; empty when there is none. Throws CorruptionError TR627 when
/// one is missing or cannot be understood. Files are not read.
std::vector<SafetyExport> read_exports(const std::filesystem::path& root);

/// Reads the files of these exports. Throws CorruptionError TR627 when one is missing or not as it was written.
void verify_exports(const std::filesystem::path& root, const std::vector<SafetyExport>& exports);

/// Removes what was not finished, and exports that the last one does not need.
void tidy_exports(const std::filesystem::path& root);

}  // namespace tailrace::duckdb
