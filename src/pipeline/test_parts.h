#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "model/tuple.h"
#include "pipeline/spec.h"
#include "sinks/letter_replay.h"

/// A target and a source in memory, for the tests of this room.
namespace tailrace::pipeline::test {

/// A directory that goes with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tailrace-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline RelationPtr text_table(std::uint32_t oid) {
  auto relation = std::make_shared<Relation>();
  relation->oid = Oid(oid);
  relation->schema = "public";
  relation->name = "t" + std::to_string(oid);
  Column column;
  column.name = "value";
  column.attnum = 1;
  column.type.declared = column.type.base = Oid(25);
  column.type.base_schema = "pg_catalog";
  column.type.base_name = column.type.display = "text";
  relation->columns.push_back(column);
  return relation;
}

inline std::string tuple_of(ByteView value) {
  std::string tuple;
  TupleWriter writer(tuple, 1);
  writer.text(value);
  return tuple;
}

inline std::string insert_message(std::uint32_t oid, ByteView value) {
  std::string message = "I";
  ByteWriter(message).be32(oid);
  return message + 'N' + tuple_of(value);
}

inline std::string text_in(const TupleView& tuple) {
  auto fields = tuple.begin();
  return std::string(fields.next().bytes);
}

/// What a target holds; outlives the sinks that write it, as a file does. Any thread.
struct MemoryTarget {
  std::mutex mutex;
  std::vector<std::string> rows;
  std::optional<Cursor> cursor;
  sinks::Counters counters;
  std::vector<sinks::SinkProblem> problems;
  std::vector<CopiedTable> copied;
  /// Rows that lack a value.
  std::atomic<std::uint64_t> lacking = 0;
  Position lacking_since = {1, Lsn(1), 0};
  /// What befalls the sink: called with "open", "apply", "flush"; may throw.
  std::function<void(const std::string& step)> fate = [](const std::string&) {};
  std::vector<std::string> steps;

  std::vector<std::string> look() {
    const std::lock_guard lock(mutex);
    return rows;
  }
  std::ptrdiff_t times(const std::string& step) {
    const std::lock_guard lock(mutex);
    return std::ranges::count(steps, step);
  }
  bool did(const std::string& step) { return times(step) > 0; }
};

/// A copy of the only table beside the stream: rows that came in place of the target's.
class MemorySideCopy final : public sinks::SideCopy {
 public:
  explicit MemorySideCopy(MemoryTarget& target) : target_(target) {}

  std::vector<sinks::TableName> wanted() const override { return {}; }
  sinks::SidePlace begin(const RelationPtr&, const std::string&) override {
    class Writer final : public sinks::CopyWriter {
     public:
      explicit Writer(std::vector<std::string>& rows) : rows_(rows) {}
      void append(const CopiedRows& rows) override {
        ByteReader in(rows.bytes());
        while (!in.empty()) rows_.push_back(text_in(measure_tuple(in)));
      }
      void finish() override {}

     private:
      std::vector<std::string>& rows_;
    };
    rows_.clear();
    return {.make_writer = [this] { return std::make_unique<Writer>(rows_); }, .suspects = nullptr};
  }
  void loaded(const CopiedTable& copied) override { fence_ = copied.fence; }
  void replay(const ChangeBatch& batch, const Position& until) override {
    for (const Change& change : batch.changes) {
      const Transaction& transaction = batch.transactions[change.transaction];
      if (transaction.commit_end > fence_.end && transaction.position(change.ordinal) <= until)
        rows_.push_back(text_in(change.new_row));
    }
  }
  void merge() override {
    const std::lock_guard lock(target_.mutex);
    target_.steps.emplace_back("merge");
    target_.rows = rows_;
  }
  void drop() override { rows_.clear(); }

 private:
  MemoryTarget& target_;
  std::vector<std::string> rows_;
  Fence fence_;
};

/// A sink with transactions. A row "bad" is a dead letter.
class MemorySink final : public sinks::Sink {
 public:
  explicit MemorySink(MemoryTarget& target) : target_(target), side_(target) {}

  sinks::SinkState open() override {
    const std::lock_guard lock(target_.mutex);
    step("open");
    staged_.clear();
    letters_.clear();
    counters_ = target_.counters;
    return {.cursor = target_.cursor, .counters = target_.counters, .copied = target_.copied};
  }
  void begin_copy(const std::vector<RelationPtr>& tables) override {
    const std::lock_guard lock(target_.mutex);
    if (!tables.empty()) target_.rows.clear();
  }
  std::unique_ptr<sinks::CopyWriter> open_copy(const RelationPtr&) override {
    class Writer final : public sinks::CopyWriter {
     public:
      explicit Writer(MemoryTarget& target) : target_(target) {}
      void append(const CopiedRows& rows) override {
        ByteReader in(rows.bytes());
        const std::lock_guard lock(target_.mutex);
        while (!in.empty()) target_.rows.push_back(text_in(measure_tuple(in)));
      }
      void finish() override {}

     private:
      MemoryTarget& target_;
    };
    return std::make_unique<Writer>(target_);
  }
  void finish_copy(const CopiedTable& copied) override {
    const std::lock_guard lock(target_.mutex);
    step("finish_copy");
    target_.copied.push_back(copied);
  }
  void finish_copies(const Cursor& start) override {
    const std::lock_guard lock(target_.mutex);
    step("finish_copies");
    target_.cursor = start;
  }
  void apply(const ChangeBatch& batch) override {
    const std::lock_guard lock(target_.mutex);
    step("apply");
    for (const Change& change : batch.changes) {
      ++counters_.received;
      const std::string row = text_in(change.new_row);
      if (row == "bad") {
        const Transaction& transaction = batch.transactions[change.transaction];
        sinks::DeadLetter& letter = letters_.emplace_back();
        letter.position = transaction.position(change.ordinal);
        letter.seq = transaction.change_seq(change.ordinal);
        letter.xid = transaction.xid;
        letter.committed = transaction.monotone_time;
        letter.relation = std::make_shared<Relation>(*change.relation);
        letter.operation = "insert";
        letter.reason = "bad";
        letter.keep({}, change.new_row.bytes());
        ++counters_.dead_lettered;
      } else {
        staged_.push_back(row);
        ++counters_.applied;
      }
    }
    end_ = batch.end;
  }
  void begin_epoch(const Cursor& at) override {
    const std::lock_guard lock(target_.mutex);
    step("begin_epoch");
    end_ = at;
  }
  Cursor flush() override {
    const std::lock_guard lock(target_.mutex);
    step("flush");
    target_.rows.insert(target_.rows.end(), staged_.begin(), staged_.end());
    staged_.clear();
    target_.cursor = end_;
    target_.counters = counters_;
    return end_;
  }
  void maintain() override {
    const std::lock_guard lock(target_.mutex);
    step("maintain");
  }
  void release() override {
    const std::lock_guard lock(target_.mutex);
    step("release");
  }
  std::optional<sinks::IncompleteRows> incomplete() override {
    return sinks::IncompleteRows{.relation = text_table(1), .keys = {}};
  }
  std::uint64_t incomplete_rows() const override { return target_.lacking; }
  std::optional<Position> first_incomplete() const override {
    return target_.lacking > 0 ? std::optional(target_.lacking_since) : std::nullopt;
  }
  std::uint64_t complete(const FencedRows& rows) override {
    target_.lacking -= rows.rows.count;
    return rows.rows.count;
  }
  void replay(const sinks::LetterReplay& replay) override {
    const std::lock_guard lock(target_.mutex);
    step("replay");
    for (std::size_t at = 0; at < replay.letters.size(); ++at) {
      const sinks::ReplayedLetter& replayed = replay.letters[at];
      staged_.push_back(replayed.edits.empty() ? text_in(TupleView(replayed.letter.new_row))
                                               : *replayed.edits.front().text);
      if (staged_.back() == "bad") throw sinks::LetterRefused(at, "bad");
    }
    if (replay.rehearsal) staged_.clear();
  }
  sinks::SideCopy* side_copy() override { return &side_; }
  sinks::SetAside set_aside() override {
    const std::lock_guard lock(target_.mutex);
    step("set_aside");
    target_.cursor.reset();
    target_.copied.clear();
    target_.counters = {};
    target_.rows.clear();
    return {"elsewhere", "all tables are copied anew"};
  }
  sinks::Counters counters() const override { return counters_; }
  sinks::TableOutcomes take_outcomes() override {
    sinks::OutcomeCounts counts;
    for (const sinks::Outcome outcome : sinks::kOutcomes)
      counts.set(0, outcome, static_cast<std::int64_t>(count_of(counters_, outcome)));
    return {{"public.t", counts}};
  }
  std::vector<sinks::DeadLetter> take_dead_letters() override { return std::exchange(letters_, {}); }
  std::vector<sinks::SinkProblem> problems() const override { return target_.problems; }

 private:
  void step(const std::string& name) {
    target_.steps.push_back(name);
    target_.fate(name);
  }

  MemoryTarget& target_;
  MemorySideCopy side_;
  std::vector<std::string> staged_;
  std::vector<sinks::DeadLetter> letters_;
  sinks::Counters counters_;
  Cursor end_;
};

/// A server: transactions that were committed, each one row. Any thread.
struct MemoryServer {
  std::mutex mutex;
  std::deque<std::string> committed;
  std::vector<std::string> rows_at_start;
  /// Up to here nothing more was committed.
  Lsn idle_until;
  std::function<void()> prepare_fate = [] {};
  std::function<void()> stream_fate = [] {};
  /// Called by a copy before it reads the rows of its snapshot.
  std::function<void()> copy_fate = [] {};
  std::function<FencedRows(std::stop_token stop)> read_fate = [](const std::stop_token&) { return FencedRows(); };

  static Lsn end_of(std::size_t transaction) { return Lsn(1000 + 100 * (transaction + 1)); }
  void commit(const std::string& row) {
    const std::lock_guard lock(mutex);
    committed.push_back(row);
  }
};

class MemorySource final : public sources::Source {
 public:
  MemorySource(MemoryServer& server, FactStore& facts, TransactionLog& log)
      : server_(server), facts_(facts), log_(log) {}

  void prepare(std::stop_token) override {
    server_.prepare_fate();
    if (facts_.load_facts()) return;
    facts_.save_facts("{}", "memory/1");
    log_.progress(Lsn(1000));
    log_.sync();
  }
  void accept_gap() override {}
  void stream(std::stop_token stop) override {
    while (!stop.stop_requested()) {
      server_.stream_fate();
      send_new();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    send_new();
  }
  /// Of the rows at the start; of a certain table: of what was committed by now, too.
  std::unique_ptr<sources::Copy> begin_copy(std::stop_token, const std::vector<sources::TableName>& only) override {
    class Copy final : public sources::Copy {
     public:
      Copy(MemoryServer& server, std::vector<std::string> rows, Lsn end) : server_(server), rows_(std::move(rows)) {
        tables_.push_back({.relation = text_table(1), .estimated_rows = 1, .pages = 1, .row_filter = ""});
        fence_.end = end;
      }
      const Fence& fence() const override { return fence_; }
      const std::vector<sources::TableToCopy>& tables() const override { return tables_; }
      void copy(const sources::TableToCopy& table,
                const std::function<std::unique_ptr<sources::RowReceiver>()>& make_receiver,
                sources::CopyProgress& progress, std::stop_token) override {
        server_.copy_fate();
        CopiedRows rows{.relation = table.relation, .tuples = {}};
        for (const std::string& row : rows_) rows.tuples += tuple_of(row);
        rows.count = rows_.size();
        const auto receiver = make_receiver();
        progress.rows = rows.count;
        receiver->take(rows);
        receiver->finish();
      }
      void copy_keys(const sources::TableToCopy&, const std::vector<std::string>&, sources::RowReceiver&,
                     sources::CopyProgress&, std::stop_token) override {}

     private:
      MemoryServer& server_;
      std::vector<std::string> rows_;
      Fence fence_;
      std::vector<sources::TableToCopy> tables_;
    };
    const std::lock_guard lock(server_.mutex);
    std::vector<std::string> rows = server_.rows_at_start;
    Lsn end(1000);
    if (!only.empty() && !server_.committed.empty()) {
      rows.insert(rows.end(), server_.committed.begin(), server_.committed.end());
      end = MemoryServer::end_of(server_.committed.size() - 1);
    }
    return std::make_unique<Copy>(server_, std::move(rows), end);
  }
  FencedRows read_keys(const RelationPtr&, const std::vector<std::string>&, std::stop_token stop) override {
    return server_.read_fate(stop);
  }
  void check_condition(const sources::TableName&, const std::string&) override {}
  sources::SourceStatus status() const override { return {}; }
  Lsn request_current_end() override {
    const std::lock_guard lock(server_.mutex);
    return server_.committed.empty() ? Lsn(1000) : MemoryServer::end_of(server_.committed.size() - 1);
  }

 private:
  void send_new() {
    const std::lock_guard lock(server_.mutex);
    const std::uint64_t end = log_.end().commit_end.value();
    std::size_t next = end < 1100 ? 0 : (end - 1000) / 100;
    if (next >= server_.committed.size()) {
      if (server_.idle_until <= log_.end().commit_end) return;
      log_.progress(server_.idle_until);
      log_.sync();
      return;
    }
    for (; next < server_.committed.size(); ++next) {
      const Xid xid(static_cast<std::uint32_t>(700 + next));
      log_.begin(xid);
      log_.relation(text_table(1));
      log_.append(insert_message(1, server_.committed[next]));
      const Lsn lsn = MemoryServer::end_of(next);
      log_.commit({.commit_lsn = Lsn(lsn.value() - 8),
                   .end_lsn = lsn,
                   .xid = xid,
                   .commit_time = PgTime(static_cast<std::int64_t>(next)),
                   .origin = ""});
    }
    log_.sync();
  }

  MemoryServer& server_;
  FactStore& facts_;
  TransactionLog& log_;
};

inline SinkSetup memory_sink(const std::string& name, MemoryTarget& target) {
  SinkSetup setup;
  setup.delivery.retry = {.first = std::chrono::milliseconds(5),
                          .longest = std::chrono::milliseconds(20),
                          .recovery = std::chrono::milliseconds(20)};
  setup.name = name;
  setup.kind = "memory";
  setup.display = name;
  setup.make = [&target](const SinkRoom&) -> std::unique_ptr<sinks::Sink> {
    return std::make_unique<MemorySink>(target);
  };
  return setup;
}

inline SourceSetup memory_source(MemoryServer& server) {
  SourceSetup setup;
  setup.kind = "memory";
  setup.make = [&server](FactStore& facts, TransactionLog& log) -> std::unique_ptr<sources::Source> {
    return std::make_unique<MemorySource>(server, facts, log);
  };
  return setup;
}

/// Waits until `condition` holds; false after five seconds.
inline bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (std::chrono::steady_clock::now() < deadline) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

}  // namespace tailrace::pipeline::test
