#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "sinks/duckdb/row_appender.h"
#include "sinks/duckdb/sink_state.h"

namespace tailrace::duckdb {

/// A table's copy that goes on under a younger snapshot. The keys that changed between the two collect in a table of
/// the schema `tailrace`, as PostgreSQL's text and as the target's own values, and stay there until the copy is
/// complete. Owned by the sink's state, used by its thread.
class DuckdbSink::State::Resumed final : public sinks::ResumedCopy {
 public:
  explicit Resumed(State& state) : state_(state) {}

  void begin(const sinks::PartialCopy& partial, const Fence& now) override;
  bool see(const ChangeBatch& batch) override;
  void settle() override;
  void drop() override;
  std::vector<std::string> unread_keys(const RelationPtr& table) override;

  /// The file is closed.
  void forget();
  /// The table is complete, or its copy is begun again: its noted keys are not wanted any more.
  void forget_keys(const Table& table);
  /// Whether the table's copy went on in the middle of it, since the file was opened.
  bool went_on(const Table& table) const;

 private:
  /// Nothing is begun any more.
  void end();
  bool note(const Change& change);
  bool note_key(TupleView tuple, TupleView fallback);
  void note_fields(const std::vector<Field>& fields);

  State& state_;
  /// The one that is begun; null when there is none.
  Table* table_ = nullptr;
  Fence then_;
  Fence now_;
  std::unique_ptr<RowAppender> keys_;
  /// Noted in this batch.
  std::unordered_set<std::string> noted_;
  /// Of this batch, and found to be as the table is.
  const Relation* accepted_ = nullptr;
  std::uint64_t count_ = 0;
  /// Tables that settle() has brought further since the file was opened.
  std::unordered_set<Oid> went_on_;
  /// How far unread_keys() has come.
  std::int64_t asked_up_to_ = -1;
};

}  // namespace tailrace::duckdb
