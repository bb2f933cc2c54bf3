#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "duckdb.h"
#include "model/tuple.h"
#include "vectors/arena.h"
#include "vectors/types.h"

namespace tailrace::vectors {

/// Whether long texts are referred to, so that the bytes given to put() must stay until the chunk was taken, or kept.
enum class ChunkTexts : std::uint8_t { kReferred, kKept };

/// Rows of PostgreSQL's texts in one of DuckDB's data chunks. Owned by whoever appends it; one thread.
class RowChunk {
 public:
  /// `columns`: DuckDB's types of all columns; the first of them are `types`, the others are set by set_*().
  RowChunk(const std::vector<duckdb_logical_type>& columns, std::vector<TargetType> types,
           ChunkTexts texts = ChunkTexts::kReferred);
  ~RowChunk();
  RowChunk(const RowChunk&) = delete;
  RowChunk& operator=(const RowChunk&) = delete;

  /// Sets a column of the current row. False: the type cannot hold the value; the row may still be given up.
  /// REQUIRES: the field is null or a value, not unchanged.
  bool put(std::size_t column, const Field& field);
  void set_null(std::size_t column);
  void set_bool(std::size_t column, bool value);
  /// BIGINT, UBIGINT and (as microseconds since 1970) TIMESTAMPTZ columns.
  void set_int64(std::size_t column, std::int64_t value) {
    Slot& slot = slots_[column];
    mark_valid(slot);
    static_cast<std::int64_t*>(slot.data)[row_] = value;
  }
  /// Of the current row, what put() made of it. Nothing: it is null, or no integer.
  std::optional<std::int64_t> integer(std::size_t column) const;
  /// VARCHAR columns; the text is copied.
  void set_text(std::size_t column, ByteView text);
  /// The current row is complete; without this call the next values overwrite it. True: the chunk is full.
  bool end_row() { return ++row_ == capacity_; }

  idx_t rows() const { return row_; }
  /// Of the values in it.
  std::size_t bytes() const { return bytes_; }
  /// The chunk with all complete rows, for DuckDB to copy.
  duckdb_data_chunk complete();
  /// Empties it.
  void renew();

 private:
  struct Slot {
    TargetType type;
    duckdb_vector vector = nullptr;
    void* data = nullptr;
    std::uint64_t* validity = nullptr;
  };

  /// Longer texts are referred to; others stand in the vector itself.
  static constexpr std::size_t kLongestInside = sizeof(duckdb_string_t::value.inlined.inlined);

  /// Whether a value's bytes are referred to that will not stay.
  bool keeps(const Slot& slot, ByteView text) const {
    return texts_ == ChunkTexts::kKept && (slot.type.list || text.size() > kLongestInside) &&
           (slot.type.shape == Shape::kVarchar || slot.type.shape == Shape::kJson);
  }
  bool put_list(Slot& slot, ByteView text);
  // A bit for each row, as duckdb_validity_set_row_valid() sets it, without a call for each value.
  static constexpr idx_t kRowsOfWord = 64;
  std::uint64_t row_bit() const { return std::uint64_t{1} << (row_ % kRowsOfWord); }
  void mark_valid(Slot& slot) {
    if (slot.validity != nullptr) slot.validity[row_ / kRowsOfWord] |= row_bit();
  }

  duckdb_data_chunk chunk_ = nullptr;
  std::vector<Slot> slots_;
  const ChunkTexts texts_;
  idx_t row_ = 0;
  idx_t capacity_ = 0;
  std::size_t bytes_ = 0;
  Arena arena_;
  std::vector<char> scratch_;
};

/// Whether `type` holds the value, by PostgreSQL's text; what put() would answer, without a vector.
bool fits(const TargetType& type, ByteView text, std::vector<char>& scratch);

}  // namespace tailrace::vectors
