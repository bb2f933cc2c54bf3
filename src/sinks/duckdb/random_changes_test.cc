#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "base/error.h"
#include "sinks/duckdb/test_target.h"

/// Random changes against a model in memory, cut into batches and parts at random places, with flushes, lost work and
/// reopening between them: mirror and history must not depend on any of it.
namespace tailrace::duckdb::test {
namespace {

struct Op {
  ChangeKind kind = ChangeKind::kInsert;
  OldTuple old_kind = OldTuple::kNone;
  Row old_row;   // as sent
  Row new_row;   // as sent
  Row old_full;  // as it was
  Row new_full;  // as it is then
};
using Txn = std::vector<Op>;

std::string show(const Row& row) {
  std::string line;
  for (const Value& value : row) line += (line.empty() ? "" : "|") + value.value_or("∅");
  return line;
}

struct Version {
  std::string row;
  std::uint64_t from_lsn = 0;
  std::uint64_t from_seq = 0;
  std::uint64_t to_lsn = 0;
  std::uint64_t to_seq = 0;

  std::string line() const {
    const bool open = to_lsn == 0;
    const auto number = [&](std::uint64_t n) { return open ? std::string("∅") : std::to_string(n); };
    return row + "|" + (open ? "true" : "false") + "|" + std::to_string(from_lsn) + "|" + number(to_lsn) + "|" +
           std::to_string(from_seq) + "|" + number(to_seq);
  }
};

/// The source and its history, by the rules of the page: one moment is a transaction, or a change.
class Model {
 public:
  Model(bool keyed, bool intermediate, unsigned seed) : keyed_(keyed), intermediate_(intermediate), random_(seed) {}

  std::vector<std::string> mirror() const {
    std::vector<std::string> lines;
    for (const Row& row : rows_) lines.push_back(show(row));
    std::ranges::sort(lines);
    return lines;
  }
  std::vector<std::string> history() const {
    std::vector<std::string> lines;
    for (const Version& version : versions_) lines.push_back(version.line());
    std::ranges::sort(lines);
    return lines;
  }

  /// A transaction that fits the present state; the state moves on.
  Txn next(std::uint64_t lsn) {
    Txn txn;
    const std::size_t size = 1 + pick(12);
    std::set<std::string> touched;
    std::map<std::string, std::string> before = by_key();
    for (std::size_t n = 0; n < size; ++n) {
      if (intermediate_) before = by_key();
      if (intermediate_) touched.clear();
      Op op = change();
      remember(op, touched, before);
      if (!keyed_) move_multiset(op, lsn, intermediate_ ? lsn + n : lsn);
      txn.push_back(std::move(op));
      if (keyed_ && intermediate_) move_keyed(touched, before, lsn, lsn + n);
    }
    if (keyed_ && !intermediate_) move_keyed(touched, before, lsn, lsn);
    return txn;
  }

 private:
  std::size_t pick(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }

  std::map<std::string, std::string> by_key() const {
    std::map<std::string, std::string> out;
    if (keyed_)
      for (const Row& row : rows_) out[*row[0]] = show(row);
    return out;
  }

  Row fresh_row() {
    Row row{std::to_string(pick(keyed_ ? 12 : 3)), std::nullopt, std::nullopt};
    if (pick(5) > 0) row[1] = "v" + std::to_string(pick(keyed_ ? 1000 : 2));
    if (pick(5) > 0) row[2] = std::string(keyed_ ? 40 : 20, static_cast<char>('a' + pick(keyed_ ? 26 : 2)));
    return row;
  }
  bool taken(const Row& row) const {
    return keyed_ && std::ranges::any_of(rows_, [&](const Row& other) { return other[0] == row[0]; });
  }

  Op change() {
    Op op;
    const std::size_t dice = pick(100);
    if (dice < 2) {
      op.kind = ChangeKind::kTruncate;
      rows_.clear();
      return op;
    }
    Row row = fresh_row();
    if (rows_.empty() || dice < 35) {
      for (int n = 0; taken(row) && n < 50; ++n) row = fresh_row();
      if (!taken(row)) {
        op.kind = ChangeKind::kInsert;
        op.new_row = op.new_full = row;
        rows_.push_back(row);
        return op;
      }
    }
    const std::size_t at = pick(rows_.size());
    op.old_full = rows_[at];
    if (dice < 60) return remove(std::move(op), at);
    return update(std::move(op), at, row);
  }

  Op remove(Op op, std::size_t at) {
    op.kind = ChangeKind::kDelete;
    op.old_kind = keyed_ ? OldTuple::kKey : OldTuple::kFull;
    op.old_row = keyed_ ? Row{op.old_full[0], std::nullopt, std::nullopt} : op.old_full;
    rows_.erase(rows_.begin() + static_cast<std::ptrdiff_t>(at));
    return op;
  }

  Op update(Op op, std::size_t at, Row row) {
    op.kind = ChangeKind::kUpdate;
    const bool moves = keyed_ && pick(4) == 0 && !taken(row);
    if (keyed_ && !moves) row[0] = op.old_full[0];
    op.new_full = op.new_row = row;
    if (pick(2) == 0) {
      op.new_full[2] = op.old_full[2];
      op.new_row[2] = op.old_full[2] ? Value(kUnchanged) : std::nullopt;
    }
    if (!keyed_) {
      op.old_kind = OldTuple::kFull;
      op.old_row = op.old_full;
    } else if (moves) {
      op.old_kind = OldTuple::kKey;
      op.old_row = {op.old_full[0], std::nullopt, std::nullopt};
    }
    rows_[at] = op.new_full;
    return op;
  }

  void remember(const Op& op, std::set<std::string>& touched, const std::map<std::string, std::string>& before) {
    if (op.kind == ChangeKind::kTruncate)
      for (const auto& [key, row] : before) touched.insert(key);
    if (!op.old_full.empty()) touched.insert(*op.old_full[0]);
    if (!op.new_full.empty()) touched.insert(*op.new_full[0]);
  }

  void move_keyed(const std::set<std::string>& touched, const std::map<std::string, std::string>& before,
                  std::uint64_t lsn, std::uint64_t seq) {
    const auto after = by_key();
    for (const std::string& key : touched) {
      if (before.contains(key)) {
        Version& open = versions_[open_.at(key)];
        open.to_lsn = lsn;
        open.to_seq = seq;
        open_.erase(key);
      }
      if (!after.contains(key)) continue;
      open_[key] = versions_.size();
      versions_.push_back({after.at(key), lsn, seq});
    }
  }

  void end(std::size_t at, std::uint64_t lsn, std::uint64_t seq) {
    if (versions_[at].from_seq == seq) {
      versions_.erase(versions_.begin() + static_cast<std::ptrdiff_t>(at));
    } else {
      versions_[at].to_lsn = lsn;
      versions_[at].to_seq = seq;
    }
  }

  void move_multiset(const Op& op, std::uint64_t lsn, std::uint64_t seq) {
    for (std::size_t n = versions_.size(); op.kind == ChangeKind::kTruncate && n > 0; --n)
      if (versions_[n - 1].to_lsn == 0) end(n - 1, lsn, seq);
    if (!op.old_full.empty()) {
      std::size_t n = versions_.size();
      while (versions_[n - 1].to_lsn != 0 || versions_[n - 1].row != show(op.old_full)) --n;
      end(n - 1, lsn, seq);
    }
    if (!op.new_full.empty()) versions_.push_back({show(op.new_full), lsn, seq});
  }

  bool keyed_;
  bool intermediate_;
  std::mt19937 random_;
  std::vector<Row> rows_;
  std::vector<Version> versions_;
  std::map<std::string, std::size_t> open_;
};

/// Feeds transactions to a target in random pieces. Of several relations each change comes under another one, the same
/// at every repetition.
class Feeder {
 public:
  Feeder(Target& target, std::vector<RelationPtr> relations, unsigned seed)
      : target_(target), relations_(std::move(relations)), random_(seed * 7919 + 1) {}

  void feed(const std::vector<Txn>& txns) {
    while (txn_ < txns.size()) {
      try {
        batch(txns);
      } catch (const RetryError& error) {
        ASSERT_EQ(error.code(), "TR619");
        target_.sink().open();
        txn_ = flushed_;
        op_ = 0;
      }
      const std::size_t dice = random_() % 100;
      if (op_ == 0 && (dice < 60 || txn_ == txns.size())) {
        target_.sink().flush();
        flushed_ = txn_;
      }
      if (dice >= 95) {
        target_.open();  // a new sink: it trusts keys again
        txn_ = flushed_;
        op_ = 0;
      }
      if (dice == 94) target_.sink().maintain();
    }
  }

 private:
  void batch(const std::vector<Txn>& txns) {
    Clock clock{1000 + 100 * txn_ + (op_ > 0 ? 100 : 0), 0};
    Batch batch(clock);
    std::size_t budget = 1 + random_() % (random_() % 2 == 0 ? 4 : 60);
    while (budget > 0 && txn_ < txns.size()) {
      const Txn& txn = txns[txn_];
      const std::size_t end = std::min(txn.size(), op_ + budget);
      batch.begin(op_ == 0, end == txn.size()).from_ordinal(op_);
      budget -= end - op_;
      for (; op_ < end; ++op_) {
        relation_ = relations_[(txn_ * 17 + op_) / 7 % relations_.size()];
        add(batch, txn[op_]);
      }
      if (op_ < txn.size()) break;
      op_ = 0;
      ++txn_;
    }
    target_.sink().apply(batch.done());
  }

  void add(Batch& batch, const Op& op) {
    switch (op.kind) {
      case ChangeKind::kInsert: batch.insert(relation_, op.new_row); break;
      case ChangeKind::kDelete:
        if (op.old_kind == OldTuple::kFull) {
          batch.remove_full(relation_, op.old_row);
        } else {
          batch.remove(relation_, op.old_row);
        }
        break;
      case ChangeKind::kUpdate:
        if (op.old_kind == OldTuple::kFull) {
          batch.update_full(relation_, op.old_row, op.new_row);
        } else if (op.old_kind == OldTuple::kKey) {
          batch.update_key(relation_, op.old_row, op.new_row);
        } else {
          batch.update(relation_, op.new_row);
        }
        break;
      default: batch.truncate(relation_);
    }
  }

  Target& target_;
  std::vector<RelationPtr> relations_;
  RelationPtr relation_;
  std::mt19937 random_;
  std::size_t txn_ = 0;
  std::size_t op_ = 0;
  std::size_t flushed_ = 0;
};

struct Mode {
  bool keyed;
  /// Rows are a multiset, and relations come and go that name a key.
  bool false_keys;
  bool history;
  bool intermediate;
  unsigned seed;
};

class RandomChanges : public ::testing::TestWithParam<Mode> {};

TEST_P(RandomChanges, MakeTheSameMirrorAndHistoryHoweverTheyAreCut) {
  const Mode mode = GetParam();
  DuckdbSpec spec;
  if (mode.history) spec.history = {"public.*"};
  spec.history_intermediate = mode.intermediate;
  Target target(spec);
  std::vector<RelationPtr> relations = {
      mode.keyed ? items() : table("items", {{"id", 20}, {"v"}, {"big"}}, ReplicaIdentity::kFull)};
  if (mode.false_keys) {
    relations.push_back(table("items", {{"id", 20, -1, 1}, {"v"}, {"big"}}, ReplicaIdentity::kFull));
    relations.push_back(table("items", {{"id", 20, -1, 2}, {"v", 25, -1, 1}, {"big"}}, ReplicaIdentity::kFull));
  }
  target.copy({{relations.front(), {}}});
  Model model(mode.keyed, mode.intermediate, mode.seed);
  std::vector<Txn> txns;
  for (std::uint64_t n = 0; n < 60; ++n) txns.push_back(model.next(1000 + 100 * (n + 1)));
  Feeder(target, relations, mode.seed).feed(txns);
  EXPECT_EQ(target.sink().problems().size(), 0u);
  auto rows = target.rows("public.items");
  std::ranges::sort(rows);
  EXPECT_EQ(rows, model.mirror());
  std::uint64_t changes = 0;
  for (const Txn& txn : txns) changes += txn.size();
  EXPECT_EQ(target.sink().counters().received, changes);
  EXPECT_EQ(target.sink().counters().applied, changes);
  if (!mode.history) return;
  auto versions = target.query(
      "SELECT id::VARCHAR, v, big, is_current::VARCHAR, from_lsn::VARCHAR, to_lsn::VARCHAR, from_seq::VARCHAR, "
      "to_seq::VARCHAR FROM public.items__history");
  std::ranges::sort(versions);
  EXPECT_EQ(versions, model.history());
  EXPECT_EQ(target
                .query("SELECT count(*)::VARCHAR FROM public.items__history WHERE effective_from != "
                       "make_timestamptz((from_lsn * 1000000 + 946684800000000)::BIGINT) OR "
                       "effective_to != make_timestamptz((to_lsn * 1000000 + 946684800000000)::BIGINT)")
                .front(),
            "0");
}

std::vector<Mode> modes() {
  std::vector<Mode> out;
  for (unsigned seed = 1; seed <= 4; ++seed)
    for (const bool keyed : {true, false}) {
      out.push_back({keyed, false, false, false, seed});
      out.push_back({keyed, false, true, false, seed});
      out.push_back({keyed, false, true, true, seed});
    }
  for (unsigned seed = 1; seed <= 12; ++seed) out.push_back({false, true, seed % 2 == 0, seed % 4 == 0, seed});
  return out;
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomChanges, ::testing::ValuesIn(modes()), [](const auto& param) {
  const Mode mode = param.param;
  return std::string(mode.keyed        ? "Keyed"
                     : mode.false_keys ? "FalseKeys"
                                       : "Multiset") +
         (mode.intermediate ? "Intermediate"
          : mode.history    ? "History"
                            : "Mirror") +
         std::to_string(mode.seed);
});

}  // namespace
}  // namespace tailrace::duckdb::test
