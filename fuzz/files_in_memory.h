#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "journal/file.h"

namespace tailrace::journal {

/// How much of what is reserved behind a file's end is there, as zeros: enough to be met, little enough to be quick.
inline constexpr std::size_t kReservedZeros = 64 << 10;

/// A journal's files without a disk. Owned by the one that opens journals on it, outlives them; one thread.
class FilesInMemory final : public Files {
 public:
  std::string& content(const std::filesystem::path& path) {
    auto& file = files_[path.string()];
    if (!file) file = std::make_shared<std::string>();
    return *file;
  }
  bool has(const std::filesystem::path& path) const { return files_.contains(path.string()); }

  std::unique_ptr<File> create(const std::filesystem::path& path, bool) override {
    content(path).clear();
    return open(path, false);
  }
  std::unique_ptr<File> open(const std::filesystem::path& path, bool) override {
    const auto found = files_.find(path.string());
    if (found == files_.end()) throw CorruptionError("TR501", path.filename().string() + " is missing", "");
    return std::make_unique<InMemory>(found->second);
  }
  std::unique_ptr<File> open_to_read(const std::filesystem::path& path, bool) override { return open(path, false); }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    files_[to.string()] = files_.at(from.string());
    files_.erase(from.string());
  }
  void remove(const std::filesystem::path& path) override { files_.erase(path.string()); }
  void make_directory(const std::filesystem::path&) override {}
  void sync_directory(const std::filesystem::path&) override {}
  std::vector<std::string> list(const std::filesystem::path& directory) const override {
    std::vector<std::string> names;
    for (const auto& [path, content] : files_) {
      const std::filesystem::path file(path);
      if (file.parent_path() == directory) names.push_back(file.filename().string());
    }
    return names;
  }

 private:
  class InMemory final : public File {
   public:
    explicit InMemory(std::shared_ptr<std::string> content) : content_(std::move(content)) {}
    void write_at(std::uint64_t offset, ByteView bytes) override {
      if (content_->size() < offset + bytes.size()) content_->resize(offset + bytes.size());
      std::memcpy(content_->data() + offset, bytes.data(), bytes.size());
    }
    std::size_t read_at(std::uint64_t offset, char* to, std::size_t size) const override {
      if (offset >= content_->size()) return 0;
      const std::size_t n = std::min<std::size_t>(size, content_->size() - offset);
      std::memcpy(to, content_->data() + offset, n);
      return n;
    }
    void sync() override {}
    void allocate(std::uint64_t size) override {
      content_->resize(std::min<std::uint64_t>(size, content_->size() + kReservedZeros));
    }
    void truncate(std::uint64_t size) override { content_->resize(size); }
    std::uint64_t size() const override { return content_->size(); }

   private:
    std::shared_ptr<std::string> content_;
  };

  std::map<std::string, std::shared_ptr<std::string>> files_;
};

}  // namespace tailrace::journal
