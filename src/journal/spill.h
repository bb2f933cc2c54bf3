#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "journal/adopted_file.h"
#include "journal/chunk.h"
#include "journal/file.h"
#include "journal/record_stream.h"
#include "journal/space.h"
#include "model/transaction_log.h"

namespace tailrace::journal {

class StoredSpill;

/// All transactions in progress: one bounded pool of memory over all of them, beyond it one file each. Owned by the
/// journal; source thread only, but for the counts.
class SpillStore {
 public:
  struct Setting {
    Files& files;
    std::filesystem::path directory;
    std::uint64_t memory;
    bool direct;
  };
  SpillStore(Setting setting, ChunkPool& chunks, Space& space);

  std::unique_ptr<StoredSpill> open();
  const std::filesystem::path& directory() const { return setting_.directory; }
  std::uint64_t count() const { return count_; }
  std::uint64_t disk_bytes() const { return disk_bytes_; }
  std::uint64_t memory_bytes() const { return memory_; }

 private:
  friend class StoredSpill;
  /// Moves the largest spills to their files until there is room for a block more.
  void make_room(std::uint64_t bytes);

  const Setting setting_;
  ChunkPool& chunks_;
  Space& space_;
  std::vector<StoredSpill*> open_;
  std::uint64_t next_file_ = 0;
  std::atomic<std::uint64_t> count_{0};
  std::atomic<std::uint64_t> disk_bytes_{0};
  std::atomic<std::uint64_t> memory_{0};
};

/// One transaction in progress. A call that throws RetryError has to be repeated, with the same message, before
/// any other.
class StoredSpill final : public Spill {
 public:
  explicit StoredSpill(SpillStore& store);
  ~StoredSpill() override;
  StoredSpill(const StoredSpill&) = delete;
  StoredSpill& operator=(const StoredSpill&) = delete;

  void append(Xid sub_xid, ByteView message) override;
  void abort(Xid sub_xid) override { aborted_.insert(sub_xid.value()); }
  std::uint64_t bytes() const override { return stream_bytes_; }

  bool in_file() const { return file_ != nullptr; }

  struct Counts {
    std::uint64_t changes = 0;
    std::uint64_t bytes = 0;
  };
  /// What survives the aborts. Reads the file again when something was aborted.
  Counts counts();
  /// Calls `use` for each message that survives, Y excepted, in stream order; an R is given with its offset.
  void for_each(const std::function<void(ByteView message, std::uint64_t offset)>& use);
  /// The surviving R messages, each with its record's offset.
  struct RelationMessage {
    std::uint64_t offset = 0;
    std::uint32_t sub_xid = 0;
    std::string message;
  };
  std::vector<RelationMessage> relations() const;

  /// Writes what is still in memory and the footer, and makes the file durable. Gives the record for ADOPT without the
  /// file's number. REQUIRES: in_file(). May be repeated after RetryError.
  AdoptRecord finish(std::vector<Footer::RelationAt> relations);
  const std::filesystem::path& path() const { return path_; }
  /// The file has become the journal's: destruction leaves it alone. Gives its size on disk.
  std::uint64_t release();

 private:
  friend class SpillStore;
  struct Block {
    std::shared_ptr<Chunk> memory;
    std::size_t used = 0;
  };
  std::uint64_t memory_bytes() const;
  void add_block();
  void put(ByteView bytes);
  /// Takes a message that memory shall not hold, piece by piece through the file.
  void append_long(const SpillRecord& header, ByteView message);
  /// Writes full blocks of the file; what does not fill one stays in memory, of which `next_block` bytes are taken.
  void write_out(std::size_t next_block);
  void write_block(const Block& block, std::size_t size);
  void grow_file(std::uint64_t to);
  void open_file();
  RecordStream stream();

  SpillStore& store_;
  std::unordered_set<std::uint32_t> aborted_;
  std::vector<RelationMessage> relations_;
  Counts totals_;
  std::uint64_t stream_bytes_ = 0;
  /// Of a long record whose append() failed: how many of its bytes are taken, so that the next call goes on there.
  std::size_t long_taken_ = 0;

  std::vector<Block> blocks_;
  std::size_t next_block_;
  std::unique_ptr<File> file_;
  std::filesystem::path path_;
  /// Bytes of the stream that are in the file, reserved for it, and synced.
  std::uint64_t written_ = 0;
  std::uint64_t reserved_ = 0;
  std::uint64_t synced_ = 0;
  std::vector<std::uint32_t> block_crcs_;
  std::uint32_t crc_ = 0;
};

}  // namespace tailrace::journal
