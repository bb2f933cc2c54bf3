#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>

#include "journal/chunk.h"
#include "journal/frame_stream.h"
#include "journal/journal.h"
#include "journal/space.h"
#include "journal/spill.h"
#include "journal/tail.h"
#include "journal/writer.h"

namespace tailrace::journal {

/// The journal on local disk: what transactions are made of, above the frames that Writer knows.
class LocalJournal final : public Journal {
 public:
  explicit LocalJournal(const Options& options);

  Position end() const override { return ledger_.state.end; }
  Lsn durable_end() const override { return tail_.durable().end.commit_end; }

  std::filesystem::path scratch_directory() const override { return spills_.directory(); }

  void begin(Xid xid) override;
  void relation(const RelationPtr& relation) override;
  void append(ByteView message) override {
    // Nearly every message: a row of the same table as the one before, into a frame with room for it.
    if (message.size() > 5 && message.front() != 'T' && relation_oid(message) == current_oid_ &&
        writer_.try_data(message)) {
      ++changes_;
      bytes_ += message.size();
      return;
    }
    append_with_care(message);
  }
  Position commit(const CommitRecord& record) override;

  std::unique_ptr<Spill> open_spill(Xid) override { return spills_.open(); }
  Position adopt(Spill& spill, const CommitRecord& record, const RelationResolver& resolver) override;

  Position message(Lsn end, ByteView message) override;
  Position describe(Lsn end, const std::vector<RelationPtr>& relations) override;
  void progress(Lsn end) override;

  std::uint64_t unsynced_bytes() const override { return writer_.unsynced_bytes(); }
  Lsn sync() override;

  std::optional<LoggedCommit> find_commit(Lsn end) const override;
  Lsn nth_last_commit(std::size_t n) const override;

  std::unique_ptr<Reader> reader(const std::optional<Cursor>& from) override;
  void set_retention(const Position& oldest_needed, std::chrono::seconds keep) override;
  Cursor start() const override { return tail_.start().cursor(); }
  JournalStat stat() const override;
  Position raise_epoch(Lsn from) override;

 private:
  /// What an oid means now, and in which segment that has been written down last.
  struct Announced {
    RelationPtr relation;
    std::uint64_t segment = 0;
  };

  static std::uint32_t relation_oid(ByteView row_message) {
    std::uint32_t oid;
    std::memcpy(&oid, row_message.data() + 1, sizeof(oid));
    return __builtin_bswap32(oid);
  }
  /// What was begun and not committed is void.
  void abandon();
  void append_with_care(ByteView message);
  void append_fragments(ByteView message);
  /// Writes down the relations that `message` names, where this segment does not have them yet.
  void announce(ByteView message);
  bool announced(ByteView message) const;
  void announce(Oid oid);
  void announce_long(const Relation& relation, ByteView message);
  /// A frame of the open transaction has been written, or may have been.
  void note_frame();

  UnitRecord unit_of(const CommitRecord& record, std::uint64_t changes, std::uint64_t bytes) const;
  Position complete(const UnitRecord& unit);
  Position adopt_small(StoredSpill& spill, const CommitRecord& record, const RelationResolver& resolver);
  Position adopt_file(StoredSpill& spill, const CommitRecord& record, const RelationResolver& resolver);
  void place(FrameType type, std::uint32_t epoch, Lsn lsn);

  // Constant after construction.
  const Store store_;
  const std::uint64_t segment_bytes_;

  // Synchronised by themselves.
  mutable ChunkPool chunks_;
  Space space_;
  mutable Tail tail_;

  // Source thread.
  Ledger ledger_;
  Writer writer_;
  SpillStore spills_;
  std::unordered_map<Oid, Announced> relations_;
  bool in_transaction_ = false;
  /// No frame of the open transaction has been written yet.
  bool first_ = false;
  std::uint64_t changes_ = 0;
  std::uint64_t bytes_ = 0;
  /// The relation of the message before, when it is announced in this segment and a DATA frame may be open; else 0.
  std::uint32_t current_oid_ = 0;
  /// Number for the next adopted file of a segment.
  std::uint64_t adopted_segment_ = 0;
  std::uint32_t next_adopted_ = 1;
};

}  // namespace tailrace::journal
