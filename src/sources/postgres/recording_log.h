#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/transaction_log.h"
#include "pgoutput/messages.h"

namespace tailrace::postgres {

/// A TransactionLog in memory, for tests: keeps every unit, and can be told to be full. Its content may be looked at
/// from another thread through units().
class RecordingLog : public TransactionLog {
 public:
  struct Change {
    RelationPtr relation;
    std::string message;
  };
  struct Unit {
    CommitRecord record;
    std::vector<Change> changes;
    bool streamed = false;
  };

  Position end() const override { return {epoch_, end_, 0}; }
  Lsn durable_end() const override {
    const std::lock_guard lock(mutex_);
    return durable_;
  }
  std::filesystem::path scratch_directory() const override { return std::filesystem::temp_directory_path(); }
  void begin(Xid xid) override {
    open_ = Unit{};
    open_.record.xid = xid;
  }
  void relation(const RelationPtr& relation) override { relations_[relation->oid.value()] = relation; }
  void append(ByteView message) override {
    refuse_when_full();
    open_.changes.push_back({relation_of(message), std::string(message)});
    unsynced_ += message.size();
  }
  Position commit(const CommitRecord& record) override {
    open_.record = record;
    return add(std::exchange(open_, {}));
  }

  std::unique_ptr<Spill> open_spill(Xid) override { return std::make_unique<MemorySpill>(); }
  Position adopt(Spill& spill, const CommitRecord& record, const RelationResolver& resolver) override {
    Unit unit;
    unit.record = record;
    unit.streamed = true;
    for (const auto& [sub, message] : static_cast<MemorySpill&>(spill).messages) {
      if (message.front() == 'R') {
        relation(resolver(message));
      } else {
        unit.changes.push_back({relation_of(message), message});
        unsynced_ += message.size();
      }
    }
    return add(std::move(unit));
  }
  Position message(Lsn end, ByteView message) override {
    Unit unit;
    unit.record.end_lsn = end;
    unit.changes.push_back({nullptr, std::string(message)});
    return add(std::move(unit));
  }
  Position describe(Lsn end, const std::vector<RelationPtr>& relations) override {
    Unit unit;
    unit.record.end_lsn = end;
    for (const RelationPtr& described : relations) {
      relation(described);
      unit.changes.push_back({described, pgoutput::description_of(described->oid)});
    }
    return add(std::move(unit));
  }
  void progress(Lsn end) override {
    refuse_when_full();
    end_ = end;
    ++unsynced_;
  }
  Position raise_epoch(Lsn from) override {
    progress(from);
    ++epoch_;
    sync();
    const std::lock_guard lock(mutex_);
    before_ = units_.size();
    return end();
  }
  std::uint64_t unsynced_bytes() const override { return unsynced_; }
  Lsn sync() override {
    const std::lock_guard lock(mutex_);
    if (held_) throw RetryError("TR404", "no space left", "free disk space");
    unsynced_ = 0;
    durable_ = end_;
    ++syncs_;
    return durable_;
  }
  std::optional<LoggedCommit> find_commit(Lsn end) const override {
    const std::lock_guard lock(mutex_);
    for (std::size_t n = before_; n < units_.size(); ++n) {
      const Unit& unit = units_[n];
      if (unit.record.end_lsn == end)
        return LoggedCommit{end, unit.record.xid, unit.record.commit_time, unit.changes.size()};
    }
    return std::nullopt;
  }
  Lsn nth_last_commit(std::size_t n) const override {
    const std::lock_guard lock(mutex_);
    std::vector<Lsn> ends;
    for (std::size_t k = before_; k < units_.size(); ++k)
      if (const Unit& unit = units_[k]; unit.record.xid.valid()) ends.push_back(unit.record.end_lsn);
    if (ends.empty()) return Lsn();
    return n >= ends.size() ? ends.front() : ends[ends.size() - n];
  }

  std::vector<Unit> units() const {
    const std::lock_guard lock(mutex_);
    return units_;
  }
  std::size_t unit_count() const {
    const std::lock_guard lock(mutex_);
    return units_.size();
  }
  int syncs() const { return syncs_; }
  /// The next so many appends and progress records throw RetryError.
  void be_full(int times) { full_for_ = times; }
  /// While held nothing becomes durable: sync() throws RetryError.
  void hold(bool held) {
    const std::lock_guard lock(mutex_);
    held_ = held;
  }

 private:
  struct MemorySpill : Spill {
    void append(Xid sub_xid, ByteView message) override { messages.emplace_back(sub_xid, std::string(message)); }
    void abort(Xid sub_xid) override {
      std::erase_if(messages, [&](const auto& entry) { return entry.first == sub_xid; });
    }
    std::uint64_t bytes() const override { return messages.size(); }
    std::vector<std::pair<Xid, std::string>> messages;
  };

  void refuse_when_full() {
    if (full_for_ == 0) return;
    --full_for_;
    throw RetryError("TR401", "the log is full", "make room");
  }
  RelationPtr relation_of(ByteView message) const {
    const auto type = pgoutput::type_of(message);
    if (type == pgoutput::MessageType::kMessage || type == pgoutput::MessageType::kTruncate) return nullptr;
    const auto found = relations_.find(pgoutput::parse_row_change(message).relation.value());
    return found == relations_.end() ? nullptr : found->second;
  }
  Position add(Unit unit) {
    const std::lock_guard lock(mutex_);
    end_ = unit.record.end_lsn;
    ++unsynced_;
    units_.push_back(std::move(unit));
    return end();
  }

  mutable std::mutex mutex_;
  std::vector<Unit> units_;
  Unit open_;
  std::map<std::uint32_t, RelationPtr> relations_;
  std::uint32_t epoch_ = 1;
  /// Units of earlier epochs.
  std::size_t before_ = 0;
  Lsn end_;
  Lsn durable_;
  std::uint64_t unsynced_ = 0;
  int syncs_ = 0;
  int full_for_ = 0;
  bool held_ = false;
};

}  // namespace tailrace::postgres
