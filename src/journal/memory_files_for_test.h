#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "journal/file.h"
#include "journal/format.h"

namespace tailrace::journal::test {

/// Files in memory that know which of their sectors and names a power cut may take, and that fail on request.
class MemoryFiles final : public Files {
 public:
  static constexpr std::size_t kSector = 512;

  /// What a disk and the kernel's cache hold of one file.
  struct Node {
    std::string cached;
    std::string durable;
    std::set<std::size_t> dirty;
  };
  using NodePtr = std::shared_ptr<Node>;

  /// The power goes: of what was not synced any sectors survive, and of the renames, creations and removals either the
  /// first few, as with a file system that keeps a log of them, or any.
  template <typename Random>
  void power_cut(Random& random) {
    const auto survivors = std::uniform_int_distribution<std::size_t>(0, pending_.size())(random);
    const bool in_order = random() % 2 == 0;
    for (std::size_t i = 0; i < pending_.size(); ++i)
      if (in_order ? i < survivors : random() % 2 == 0) apply(pending_[i], durable_names_);
    pending_.clear();
    names_ = durable_names_;
    for (auto& [path, node] : names_) {
      if (random() % 4 == 0) node->dirty.clear();
      for (const std::size_t sector : node->dirty)
        if (random() % 2 == 0) land(*node, sector);
      node->dirty.clear();
      node->cached = node->durable;
    }
  }
  /// Loses exactly what was not synced.
  void lose_unsynced() {
    pending_.clear();
    names_ = durable_names_;
    for (auto& [path, node] : names_) {
      node->dirty.clear();
      node->cached = node->durable;
    }
  }

  /// The n-th call from now on fails (0 = never), and, with fails_on, those after it.
  int fail_sync = 0;
  int fail_write = 0;
  bool fails_on = false;
  /// Writes, allocations and creations fail for lack of space while set.
  bool no_space = false;
  /// The n-th write from now on meets a full disk (0 = none does).
  int fill_at_write = 0;

  std::string& bytes(const std::filesystem::path& path) { return names_.at(path)->cached; }
  bool exists(const std::filesystem::path& path) const { return names_.contains(path); }

  std::unique_ptr<File> create(const std::filesystem::path& path, bool) override {
    check_space();
    const auto node = std::make_shared<Node>();
    change({path, node});
    return std::make_unique<Handle>(*this, node);
  }
  std::unique_ptr<File> open(const std::filesystem::path& path, bool) override { return open_to_read(path, false); }
  std::unique_ptr<File> open_to_read(const std::filesystem::path& path, bool) override {
    const auto at = names_.find(path);
    if (at == names_.end()) throw CorruptionError("TR402", "cannot open " + path.string(), "");
    return std::make_unique<Handle>(*this, at->second);
  }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    const NodePtr node = names_.at(from);
    change({to, node, from});
  }
  void remove(const std::filesystem::path& path) override { change({path, nullptr}); }
  void make_directory(const std::filesystem::path&) override {}
  void sync_directory(const std::filesystem::path& path) override {
    fail_after(fail_sync, "sync");
    std::erase_if(pending_, [&](const Change& change) {
      if (change.path.parent_path() != path) return false;
      apply(change, durable_names_);
      return true;
    });
  }
  std::vector<std::string> list(const std::filesystem::path& directory) const override {
    std::vector<std::string> found;
    for (const auto& [path, node] : names_)
      if (path.parent_path() == directory) found.push_back(path.filename().string());
    std::ranges::sort(found);
    return found;
  }

 private:
  struct Change {
    std::filesystem::path path;
    NodePtr node;
    std::filesystem::path old_path = {};
  };
  using Names = std::map<std::filesystem::path, NodePtr>;

  class Handle final : public File {
   public:
    Handle(MemoryFiles& files, NodePtr node) : files_(files), node_(std::move(node)) {}
    void write_at(std::uint64_t offset, ByteView bytes) override {
      files_.fail_after(files_.fail_write, "write");
      if (files_.fill_at_write > 0 && --files_.fill_at_write == 0) files_.no_space = true;
      files_.check_space();
      if (offset % kBlock != 0 || bytes.size() % kBlock != 0) throw DefectError("not aligned for direct I/O");
      std::string& to = node_->cached;
      if (to.size() < offset + bytes.size()) to.resize(offset + bytes.size());
      for (std::size_t at = 0; at < bytes.size(); at += kSector) {
        if (std::memcmp(to.data() + offset + at, bytes.data() + at, kSector) == 0) continue;
        std::memcpy(to.data() + offset + at, bytes.data() + at, kSector);
        node_->dirty.insert((offset + at) / kSector);
      }
    }
    std::size_t read_at(std::uint64_t offset, char* to, std::size_t size) const override {
      if (offset % kBlock != 0 || size % kBlock != 0) throw DefectError("not aligned for direct I/O");
      const std::string& from = node_->cached;
      if (offset >= from.size()) return 0;
      const std::size_t n = std::min<std::size_t>(size, from.size() - offset);
      std::memcpy(to, from.data() + offset, n);
      return n;
    }
    void sync() override {
      try {
        files_.fail_after(files_.fail_sync, "sync");
      } catch (const CorruptionError&) {
        // As Linux does: the pages count as clean although the disk does not have them.
        node_->dirty.clear();
        throw;
      }
      node_->durable.resize(node_->cached.size());
      for (const std::size_t sector : node_->dirty) land(*node_, sector);
      node_->dirty.clear();
    }
    void allocate(std::uint64_t size) override {
      files_.check_space();
      if (node_->cached.size() < size) node_->cached.resize(size);
    }
    void truncate(std::uint64_t size) override { node_->cached.resize(size); }
    std::uint64_t size() const override { return node_->cached.size(); }

   private:
    MemoryFiles& files_;
    NodePtr node_;
  };

  static void land(Node& node, std::size_t sector) {
    const std::size_t at = sector * kSector;
    if (at + kSector > node.cached.size()) return;
    if (node.durable.size() < at + kSector) node.durable.resize(align_up(at + kSector, kBlock));
    std::memcpy(node.durable.data() + at, node.cached.data() + at, kSector);
  }
  void change(Change change) {
    apply(change, names_);
    pending_.push_back(std::move(change));
  }
  static void apply(const Change& change, Names& names) {
    if (!change.old_path.empty()) names.erase(change.old_path);
    if (change.node) {
      names[change.path] = change.node;
    } else {
      names.erase(change.path);
    }
  }
  void check_space() const {
    if (no_space) throw RetryError("TR404", "no space left", "");
  }
  void fail_after(int& countdown, const char* what) const {
    if (countdown == 0) return;
    if (countdown > 1 || !fails_on) --countdown;
    if (countdown > (fails_on ? 1 : 0)) return;
    throw CorruptionError("TR402", std::string("input/output error at ") + what, "");
  }

  Names names_;
  Names durable_names_;
  std::vector<Change> pending_;
};

}  // namespace tailrace::journal::test
