#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/change_batch.h"
#include "sinks/row_target.h"

namespace tailrace::sinks {

/// What is to be written next: changes in their order; of state only the last one of each key. It keeps alive what its
/// changes point to. Owned by a RowSink, used by its thread.
class RowUnit {
 public:
  /// Something of this batch is about to be added.
  void keep(const ChangeBatch& batch);
  /// Bytes that live as long as the unit.
  std::string_view own(std::string bytes) { return owned_.emplace_back(std::move(bytes)); }

  /// An event.
  void add(const RowChange& change);
  /// The state of a key; what was known of it goes.
  void put(const std::string& key, const RowChange& change);
  /// The row that is to be put under this key; absent where none is known here.
  TupleView row_of(const Relation& relation, const std::string& key) const;
  /// What is known of the key goes; nothing becomes of it at the target.
  void forget(const Relation& relation, const std::string& key);
  /// What is known of the table goes.
  void forget_table(const Relation& relation);

  /// Without what later changes have replaced.
  std::vector<RowChange> changes() const;
  bool empty() const { return alive_ == 0; }
  std::size_t size() const { return alive_; }
  /// Of the rows.
  std::size_t bytes() const { return bytes_; }
  void clear();

 private:
  struct Entry {
    RowChange change;
    bool alive = true;
  };
  void drop(std::size_t at);

  std::vector<Entry> entries_;
  /// By table (oid) and key.
  std::unordered_map<std::uint32_t, std::unordered_map<std::string, std::size_t>> by_key_;
  std::size_t alive_ = 0;
  std::size_t bytes_ = 0;
  std::deque<std::string> owned_;
  std::vector<std::shared_ptr<const void>> buffers_;
  std::vector<RelationPtr> relations_;
};

/// A row whose unchanged values were looked for.
struct CompletedRow {
  std::string bytes;
  /// All of them were found.
  bool whole = true;
};
/// `row` with its unchanged values read from `old_row`, else from `known`; either may be absent or of another version.
/// `old_row` is to be whole.
CompletedRow completed(TupleView row, TupleView known, TupleView old_row);
bool has_unchanged(TupleView row);

}  // namespace tailrace::sinks
