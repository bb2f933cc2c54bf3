#include "vectors/row_chunk.h"

#include <cstring>
#include <utility>

#include "formats/value_text.h"

namespace tailrace::vectors {
namespace {

using formats::ArrayReader;
using formats::bytea_size;
using formats::decode_bytea;
using formats::Int128;
using formats::IntervalValue;
using formats::parse_bool;
using formats::parse_date;
using formats::parse_decimal;
using formats::parse_double;
using formats::parse_float;
using formats::parse_int;
using formats::parse_interval;
using formats::parse_time;
using formats::parse_timestamp;
using formats::parse_timetz;
using formats::parse_uuid;
using formats::valid_utf8;

template <typename T>
bool store(void* data, idx_t row, T value) {
  static_cast<T*>(data)[row] = value;
  return true;
}

template <typename T>
bool store_int(void* data, idx_t row, ByteView text) {
  std::int64_t value = 0;
  if (!parse_int(text, value) || !std::in_range<T>(value)) return false;
  return store(data, row, static_cast<T>(value));
}

template <typename T>
bool store_decimal(const TargetType& type, void* data, idx_t row, ByteView text) {
  Int128 value = 0;
  if (!parse_decimal(text, type.width, type.scale, value)) return false;
  return store(data, row, static_cast<T>(value));
}

duckdb_hugeint hugeint(Int128 value) {
  return {static_cast<std::uint64_t>(value), static_cast<std::int64_t>(value >> 64)};
}

/// DuckDB's string: up to twelve bytes inside (the rest zero), longer ones by reference with their first four bytes.
void store_string(void* data, idx_t row, ByteView text) {
  duckdb_string_t& out = static_cast<duckdb_string_t*>(data)[row];
  std::memset(&out, 0, sizeof(out));
  out.value.inlined.length = static_cast<std::uint32_t>(text.size());
  if (text.size() <= sizeof(out.value.inlined.inlined)) {
    if (!text.empty()) std::memcpy(out.value.inlined.inlined, text.data(), text.size());
    return;
  }
  std::memcpy(out.value.pointer.prefix, text.data(), sizeof(out.value.pointer.prefix));
  // The chunk is only read from; the C interface has no pointer to const here.
  out.value.pointer.ptr = const_cast<char*>(text.data());
}

bool store_blob(void* data, idx_t row, ByteView text, Arena& arena) {
  std::size_t size = 0;
  if (!bytea_size(text, size)) return false;
  char* bytes = arena.allocate(size);
  if (!decode_bytea(text, bytes)) return false;
  store_string(data, row, {bytes, size});
  return true;
}

bool store_uuid(void* data, idx_t row, ByteView text) {
  unsigned __int128 value = 0;
  if (!parse_uuid(text, value)) return false;
  // DuckDB keeps the first bit inverted so that signed comparison orders UUIDs.
  return store(data, row, hugeint(static_cast<Int128>(value ^ (static_cast<unsigned __int128>(1) << 127))));
}

bool store_interval(void* data, idx_t row, ByteView text) {
  IntervalValue value;
  if (!parse_interval(text, value)) return false;
  return store(data, row, duckdb_interval{value.months, value.days, value.micros});
}

bool store_timetz(void* data, idx_t row, ByteView text) {
  std::int64_t micros = 0;
  std::int32_t offset = 0;
  if (!parse_timetz(text, micros, offset)) return false;
  return store(data, row, duckdb_create_time_tz(micros, offset));
}

template <typename T, typename Parse>
bool store_parsed(void* data, idx_t row, ByteView text, Parse parse) {
  T value{};
  return parse(text, value) && store(data, row, value);
}

bool store_scalar(const TargetType& type, void* data, idx_t row, ByteView text, Arena& arena) {
  switch (type.shape) {
    case Shape::kBool: return store_parsed<bool>(data, row, text, parse_bool);
    case Shape::kInt16: return store_int<std::int16_t>(data, row, text);
    case Shape::kInt32: return store_int<std::int32_t>(data, row, text);
    case Shape::kInt64: return store_parsed<std::int64_t>(data, row, text, parse_int);
    case Shape::kUInt32: return store_int<std::uint32_t>(data, row, text);
    case Shape::kFloat: return store_parsed<float>(data, row, text, parse_float);
    case Shape::kDouble: return store_parsed<double>(data, row, text, parse_double);
    case Shape::kDecimal16: return store_decimal<std::int16_t>(type, data, row, text);
    case Shape::kDecimal32: return store_decimal<std::int32_t>(type, data, row, text);
    case Shape::kDecimal64: return store_decimal<std::int64_t>(type, data, row, text);
    case Shape::kDecimal128: {
      Int128 value = 0;
      return parse_decimal(text, type.width, type.scale, value) && store(data, row, hugeint(value));
    }
    case Shape::kVarchar:
    case Shape::kJson:
      if (!valid_utf8(text)) return false;
      store_string(data, row, text);
      return true;
    case Shape::kBlob: return store_blob(data, row, text, arena);
    case Shape::kUuid: return store_uuid(data, row, text);
    case Shape::kDate: return store_parsed<std::int32_t>(data, row, text, parse_date);
    case Shape::kTime: return store_parsed<std::int64_t>(data, row, text, parse_time);
    case Shape::kTimeTz: return store_timetz(data, row, text);
    case Shape::kTimestamp:
    case Shape::kTimestampTz: return store_parsed<std::int64_t>(data, row, text, parse_timestamp);
    case Shape::kInterval: return store_interval(data, row, text);
  }
  return false;
}

/// Takes the value nowhere: only whether it could be stored matters.
bool fits_scalar(const TargetType& type, ByteView text) {
  alignas(16) char room[16];
  switch (type.shape) {
    case Shape::kVarchar:
    case Shape::kJson: return valid_utf8(text);
    case Shape::kDecimal16:
    case Shape::kDecimal32:
    case Shape::kDecimal64:
    case Shape::kDecimal128:
    case Shape::kTimestamp:
    case Shape::kTimestampTz:
    case Shape::kInterval:
    case Shape::kDate:
    case Shape::kTime:
    case Shape::kTimeTz:
    case Shape::kFloat:
    case Shape::kDouble: {
      Arena none;
      return store_scalar(type, room, 0, text, none);
    }
    default: return true;
  }
}

}  // namespace

bool fits(const TargetType& type, ByteView text, std::vector<char>& scratch) {
  if (!type.list) return fits_scalar(type, text);
  ArrayReader array(text, type.delimiter);
  if (!array.open()) return false;
  ByteView value;
  while (true) {
    switch (array.next(value, scratch)) {
      case ArrayReader::Step::kEnd: return true;
      case ArrayReader::Step::kRefused: return false;
      case ArrayReader::Step::kNull: break;
      case ArrayReader::Step::kValue:
        if (!fits_scalar(type, value)) return false;
        break;
    }
  }
}

RowChunk::RowChunk(const std::vector<duckdb_logical_type>& columns, std::vector<TargetType> types, ChunkTexts texts)
    : texts_(texts), capacity_(duckdb_vector_size()) {
  std::vector<duckdb_logical_type> logical = columns;
  chunk_ = duckdb_create_data_chunk(logical.data(), logical.size());
  types.resize(logical.size());
  for (const TargetType& type : types) slots_.push_back({type});
  renew();
}

RowChunk::~RowChunk() { duckdb_destroy_data_chunk(&chunk_); }

void RowChunk::renew() {
  duckdb_data_chunk_reset(chunk_);
  for (idx_t n = 0; n < slots_.size(); ++n) {
    slots_[n].vector = duckdb_data_chunk_get_vector(chunk_, n);
    slots_[n].data = duckdb_vector_get_data(slots_[n].vector);
    slots_[n].validity = nullptr;
  }
  arena_.clear();
  row_ = 0;
  bytes_ = 0;
}

duckdb_data_chunk RowChunk::complete() {
  duckdb_data_chunk_set_size(chunk_, row_);
  return chunk_;
}

bool RowChunk::put(std::size_t column, const Field& field) {
  Slot& slot = slots_[column];
  if (field.kind == FieldKind::kNull) {
    set_null(column);
    return true;
  }
  mark_valid(slot);
  bytes_ += field.bytes.size();
  const ByteView text = keeps(slot, field.bytes) ? arena_.keep(field.bytes) : field.bytes;
  return slot.type.list ? put_list(slot, text) : store_scalar(slot.type, slot.data, row_, text, arena_);
}

bool RowChunk::put_list(Slot& slot, ByteView text) {
  ArrayReader array(text, slot.type.delimiter);
  if (!array.open()) return false;
  const idx_t from = duckdb_list_vector_get_size(slot.vector);
  idx_t at = from;
  ByteView value;
  while (true) {
    const auto step = array.next(value, scratch_);
    if (step == ArrayReader::Step::kRefused) return false;
    if (step == ArrayReader::Step::kEnd) break;
    duckdb_list_vector_reserve(slot.vector, at + 1);
    duckdb_vector child = duckdb_list_vector_get_child(slot.vector);
    if (step == ArrayReader::Step::kNull) {
      duckdb_vector_ensure_validity_writable(child);
      duckdb_validity_set_row_invalid(duckdb_vector_get_validity(child), at);
    } else {
      if (std::uint64_t* validity = duckdb_vector_get_validity(child)) duckdb_validity_set_row_valid(validity, at);
      const bool unescaped = value.data() == scratch_.data();
      if (!store_scalar(slot.type, duckdb_vector_get_data(child), at, unescaped ? arena_.keep(value) : value, arena_))
        return false;
    }
    duckdb_list_vector_set_size(slot.vector, ++at);
  }
  static_cast<duckdb_list_entry*>(slot.data)[row_] = {from, at - from};
  return true;
}

void RowChunk::set_null(std::size_t column) {
  Slot& slot = slots_[column];
  if (slot.validity == nullptr) {
    duckdb_vector_ensure_validity_writable(slot.vector);
    slot.validity = duckdb_vector_get_validity(slot.vector);
  }
  slot.validity[row_ / kRowsOfWord] &= ~row_bit();
  if (slot.type.list) static_cast<duckdb_list_entry*>(slot.data)[row_] = {0, 0};
}

void RowChunk::set_bool(std::size_t column, bool value) {
  mark_valid(slots_[column]);
  store(slots_[column].data, row_, value);
}

void RowChunk::set_text(std::size_t column, ByteView text) {
  mark_valid(slots_[column]);
  store_string(slots_[column].data, row_, text.size() > kLongestInside ? arena_.keep(text) : text);
}

std::optional<std::int64_t> RowChunk::integer(std::size_t column) const {
  const Slot& slot = slots_[column];
  const bool is_null = slot.validity != nullptr && (slot.validity[row_ / kRowsOfWord] & row_bit()) == 0;
  if (is_null || slot.type.list) return std::nullopt;
  switch (slot.type.shape) {
    case Shape::kInt16: return static_cast<const std::int16_t*>(slot.data)[row_];
    case Shape::kInt32: return static_cast<const std::int32_t*>(slot.data)[row_];
    case Shape::kInt64: return static_cast<const std::int64_t*>(slot.data)[row_];
    default: return std::nullopt;
  }
}

}  // namespace tailrace::vectors
