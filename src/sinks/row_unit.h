#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/change_batch.h"
#include "sinks/key_places.h"
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
  /// A row that was inserted and came whole. `columns`: those of its key.
  void insert(const RowChange& change, const std::vector<std::size_t>& columns);
  /// The state of a key; what was known of it goes.
  void put(std::string_view key, const RowChange& change);
  /// The row that is to be put under this key; absent where none is known here.
  TupleView row_of(const Relation& relation, std::string_view key);
  /// The change that is to be written for this key; null: none. Lives until the unit is changed.
  const RowChange* change_of(const Relation& relation, std::string_view key);
  /// What is known of the key goes; nothing becomes of it at the target.
  void forget(const Relation& relation, std::string_view key);
  /// What is known of the table goes.
  void forget_table(const Relation& relation);

  /// Without what later changes have replaced. Lives until the unit is changed.
  std::span<const RowChange> changes();
  bool empty() const { return size() == 0; }
  std::size_t size() const { return changes_.size() - dead_.size(); }
  /// Of the rows.
  std::size_t bytes() const { return bytes_; }
  void clear();

 private:
  /// As long as rows of a table are only inserted they are listed: no other change of the unit can be about them.
  struct OfTable {
    KeyPlaces places;
    std::vector<std::uint32_t> listed;
    std::vector<std::size_t> columns;
  };
  OfTable& of_table(const Relation& relation);
  /// Of a table whose changes are told apart from here on.
  KeyPlaces& places_of(const Relation& relation);
  void place_listed(OfTable& table);
  void compact();

  std::vector<RowChange> changes_;
  /// Places of changes that others have replaced.
  std::vector<std::uint32_t> dead_;
  /// By oid.
  std::unordered_map<std::uint32_t, OfTable> tables_;
  std::uint32_t last_oid_ = 0;
  OfTable* last_table_ = nullptr;
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
/// REQUIRES: the row is present and has this column.
Field field_of(TupleView row, std::size_t column);
/// Whether the row has all its values, and none of its key is null. `columns`: those of its key.
bool is_whole(TupleView row, const std::vector<std::size_t>& columns);

}  // namespace tailrace::sinks
