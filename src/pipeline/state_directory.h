#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace tailrace::pipeline {

/// Where a pipeline's state lies on disk.
struct StatePaths {
  std::filesystem::path root;

  std::filesystem::path catalog() const { return root / "catalog.sqlite"; }
  std::filesystem::path journal() const { return root / "journal"; }
  std::filesystem::path spill() const { return root / "spill"; }
  std::filesystem::path lock() const { return root / "lock"; }
  std::filesystem::path control() const { return root / "control.sock"; }
};

/// The state directory, held by this process alone as long as the object lives. The kernel lets the lock go when the
/// process dies, however it dies.
class StateDirectory {
 public:
  /// Makes the directory when it is missing. Throws BadConfigError TR511 when another process holds it (its pid is
  /// named), TR512 when it cannot be used.
  explicit StateDirectory(const std::filesystem::path& root);

  const StatePaths& paths() const { return paths_; }

 private:
  StatePaths paths_;
  UniqueFd lock_;
};

/// Directory of the pipelines that are given no state directory of their own.
std::filesystem::path default_state_root();
/// The state directory that a command means: `state` itself if not empty, else that of `name`, else the only one there
/// is. Throws BadConfigError TR513 when there is none, or more than one.
StatePaths find_state(const std::string& state, const std::string& name);

}  // namespace tailrace::pipeline
