#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "model/tuple_for_test.h"
#include "sinks/row_table.h"
#include "sinks/row_target.h"

/// A target of rows in memory, for tests of RowSink.
namespace tailrace::sinks::test {

/// What the target holds; outlives the targets that write it, as a server does.
struct MemoryRows {
  RowTraits traits;
  StateMap state;
  /// By table and key; rows as "a|b", "∅" for NULL, "?" for what was never sent.
  std::map<std::string, std::map<std::string, std::string>> tables;
  std::vector<std::string> events;
  std::vector<std::string> steps;
  /// Rows of this text are refused by the server, or known to be refused beforehand.
  std::string refused_by_server = "server";
  std::string refused_beforehand = "never";
  /// The server says which rows it refuses, and has written the others but for those that follow them.
  bool names_refused = false;
  /// Called before and after each write, with "write" and "written"; may throw.
  std::function<void(const std::string& step)> fate = [](const std::string&) {};
  std::string obstacle;
  /// What alter_table() answers.
  std::string alter_obstacle;
};

inline std::string row_text(TupleView row) {
  if (!row.present()) return "-";
  std::string text;
  auto fields = row.begin();
  for (std::size_t n = 0; n < row.size(); ++n) {
    const Field field = fields.next();
    if (n > 0) text += '|';
    if (field.kind == FieldKind::kNull) {
      text += "∅";
    } else if (field.kind == FieldKind::kUnchanged) {
      text += '?';
    } else {
      text += field.bytes;
    }
  }
  return text;
}

class MemoryRowTarget final : public RowTarget {
 public:
  explicit MemoryRowTarget(MemoryRows& rows) : rows_(rows) {}

  RowTraits traits() const override { return rows_.traits; }
  StateMap open() override { return rows_.state; }
  std::unique_ptr<RowWriter> writer() override { return std::make_unique<Writer>(rows_); }
  std::string obstacle(const Relation& relation) const override {
    static_cast<void>(relation);
    return rows_.obstacle;
  }
  const char* refusal_of(const RowChange& change) const override {
    return row_text(change.new_row).find(rows_.refused_beforehand) != std::string::npos ? "not for this target"
                                                                                        : nullptr;
  }
  void make_table(const Relation& relation, bool ours) override {
    rows_.steps.push_back((ours ? "make again " : "make ") + relation.name);
    rows_.tables[relation.name].clear();
  }
  void empty_table(const Relation& relation) override {
    rows_.steps.push_back("empty " + relation.name);
    rows_.tables[relation.name].clear();
  }
  std::string alter_table(const Relation& before, const Relation& after, const SchemaChange& change) override {
    static_cast<void>(change);
    rows_.steps.push_back("alter " + before.name + " " + std::to_string(after.columns.size()));
    return rows_.alter_obstacle;
  }
  void release() override {}

 private:
  class Writer final : public RowWriter {
   public:
    explicit Writer(MemoryRows& rows) : rows_(rows) {}
    void write(std::span<const RowChange> changes, const StateChanges& state) override {
      rows_.fate("write");
      const bool refuses = std::ranges::any_of(changes, [this](const RowChange& change) { return is_refused(change); });
      if (refuses && rows_.names_refused) write_others(changes);
      if (refuses) throw RowsRefused("TR806", "a row is refused", "none");
      for (const RowChange& change : changes) write_one(change);
      for (const auto& [key, value] : state) {
        if (value) {
          rows_.state[key] = *value;
        } else {
          rows_.state.erase(key);
        }
      }
      rows_.steps.push_back("write " + std::to_string(changes.size()) + (state.empty() ? "" : " with state"));
      rows_.fate("written");
    }

   private:
    bool is_refused(const RowChange& change) const {
      return row_text(change.new_row).find(rows_.refused_by_server) != std::string::npos;
    }
    [[noreturn]] void write_others(std::span<const RowChange> changes) {
      std::vector<RowsRefused::Row> refused;
      std::vector<std::size_t> written;
      std::set<std::string> closed;
      for (std::size_t at = 0; at < changes.size(); ++at) {
        const std::vector<std::string> keys = keys_of(changes[at], changes[at].relation->match_key());
        const bool follows = std::ranges::any_of(keys, [&](const std::string& key) { return closed.contains(key); });
        if (follows || is_refused(changes[at])) closed.insert(keys.begin(), keys.end());
        if (follows) continue;
        if (is_refused(changes[at])) {
          refused.push_back({at, "this one: " + row_text(changes[at].new_row)});
        } else {
          write_one(changes[at]);
          written.push_back(at);
        }
      }
      throw RowsRefused("TR806", "rows are refused", "none", refused, written);
    }
    void write_one(const RowChange& change) {
      static constexpr const char* kNames[] = {"copied", "insert", "update", "delete", "truncate"};
      rows_.events.push_back(std::string(kNames[static_cast<int>(change.operation)]) + " " +
                             std::to_string(change.seq.value()) + " " + row_text(change.old_row) + " " +
                             row_text(change.new_row));
      auto& table = rows_.tables[change.relation->name];
      const auto columns = change.relation->match_key();
      if (columns.empty() || change.operation == RowOperation::kTruncate) return;
      const bool removes = change.operation == RowOperation::kDelete;
      const std::string key = row_text(TupleView(*key_tuple(removes ? change.old_row : change.new_row, {}, columns)));
      if (removes) {
        table.erase(key);
      } else {
        table[key] = row_text(change.new_row);
      }
    }
    MemoryRows& rows_;
  };

  MemoryRows& rows_;
};

}  // namespace tailrace::sinks::test
