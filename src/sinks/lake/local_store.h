#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "sinks/lake/store.h"

namespace tailrace::lake {

/// A directory of the local file system. Staged objects lie in `_staged`, under names that end in nothing a reader
/// looks for, and are renamed.
class LocalStore final : public Store {
 public:
  /// The directory is made with the first object, when it is missing.
  explicit LocalStore(std::filesystem::path root);

  std::vector<std::string> list(const std::string& prefix) override;
  std::string read(const std::string& path) override;
  bool create(const std::string& path, std::string_view bytes) override;
  void write(const std::string& path, std::string_view bytes) override;
  void remove(const std::string& path) override;
  std::string stage(const std::string& path, std::string_view bytes) override;
  bool publish(const std::string& path, const std::string& token) override;
  void drop(const std::string& path, const std::string& token) override;
  void drop_staged() override;

 private:
  [[noreturn]] void fail(const std::string& doing, const std::filesystem::path& path) const;
  /// A file of its own in `_staged`, with these bytes, durable.
  std::filesystem::path written(std::string_view bytes);
  /// Makes the directories above `file`, durably.
  void make_way(const std::filesystem::path& file) const;
  void sync_directory(const std::filesystem::path& directory) const;
  void move(const std::filesystem::path& from, const std::filesystem::path& to) const;

  const std::filesystem::path root_;
  const std::filesystem::path staged_;
};

}  // namespace tailrace::lake
