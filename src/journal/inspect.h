#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "journal/reader.h"
#include "model/change_batch.h"

namespace tailrace::journal {

/// A journal looked at from outside, read-only, also while another process writes it; what that has written and not
/// yet synced may then be seen. Owned by a command; one thread. Constructors and functions throw CorruptionError
/// where the journal is damaged, BadConfigError when there is no journal.
class Inspector {
 public:
  explicit Inspector(const std::filesystem::path& directory);
  ~Inspector();
  Inspector(const Inspector&) = delete;
  Inspector& operator=(const Inspector&) = delete;

  struct Segment {
    std::uint64_t number = 0;
    std::string name;
    /// Its units lie behind the first and up to the last.
    Position behind;
    Position last;
    PgTime created;
    /// Where its frames end, and the size of the file.
    std::uint64_t used_bytes = 0;
    std::uint64_t file_bytes = 0;
    std::uint64_t adopted_files = 0;
    std::uint64_t adopted_bytes = 0;
    /// False for the one that is written to.
    bool sealed = false;
  };
  std::vector<Segment> segments() const;
  /// Oldest readable place and the end.
  Cursor start() const;
  Cursor end() const;

  /// Looks for what was appended since. Readers made before go on with it.
  void refresh();
  /// Gives the units behind `from`; from the oldest when there is none. Must not outlive the inspector.
  std::unique_ptr<Reader> reader(const std::optional<Position>& from);

  struct Damage {
    std::string file;
    std::uint64_t offset = 0;
    std::string what;
  };
  struct Verified {
    std::uint64_t segments = 0;
    std::uint64_t adopted_files = 0;
    std::uint64_t frames = 0;
    std::uint64_t bytes = 0;
    /// In order; nothing when all is well.
    std::vector<Damage> damages;
  };
  /// Reads every byte that counts and compares its checksum.
  Verified verify();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace tailrace::journal
