#include "soak/target.h"

#include <cmath>
#include <cstring>

#include "sinks/duckdb/torn_log.h"

namespace tailrace::soak {
namespace {

struct ResultOwner {
  duckdb_result result{};
  ResultOwner() = default;
  ResultOwner(const ResultOwner&) = delete;
  ResultOwner& operator=(const ResultOwner&) = delete;
  ~ResultOwner() { duckdb_destroy_result(&result); }
};

void execute(duckdb_connection connection, const std::string& sql, ResultOwner& owner) {
  if (duckdb_query(connection, sql.c_str(), &owner.result) == DuckDBSuccess) return;
  const char* text = duckdb_result_error(&owner.result);
  throw TargetError(sql.substr(0, 60), text != nullptr ? text : "no text");
}

duckdb_type scalar_type(Kind kind) {
  switch (kind) {
    case Kind::kInt32: return DUCKDB_TYPE_INTEGER;
    case Kind::kInt64:
    case Kind::kList: return DUCKDB_TYPE_BIGINT;
    case Kind::kDouble: return DUCKDB_TYPE_DOUBLE;
    case Kind::kText: return DUCKDB_TYPE_VARCHAR;
    case Kind::kInstant: return DUCKDB_TYPE_TIMESTAMP_TZ;
  }
  return DUCKDB_TYPE_INVALID;
}

duckdb_logical_type logical_type(Kind kind) {
  duckdb_logical_type scalar = duckdb_create_logical_type(scalar_type(kind));
  if (kind != Kind::kList) return scalar;
  duckdb_logical_type list = duckdb_create_list_type(scalar);
  duckdb_destroy_logical_type(&scalar);
  return list;
}

template <typename T>
void store(duckdb_vector vector, uint64_t row, T value) {
  static_cast<T*>(duckdb_vector_get_data(vector))[row] = value;
}

template <typename T>
T load(duckdb_vector vector, uint64_t row) {
  return static_cast<const T*>(duckdb_vector_get_data(vector))[row];
}

void store_list(duckdb_vector vector, uint64_t row, const std::vector<int64_t>& values) {
  const uint64_t start = duckdb_list_vector_get_size(vector);
  duckdb_list_vector_reserve(vector, start + values.size());
  duckdb_list_vector_set_size(vector, start + values.size());
  duckdb_vector child = duckdb_list_vector_get_child(vector);
  for (size_t i = 0; i < values.size(); ++i) store<int64_t>(child, start + i, values[i]);
  store<duckdb_list_entry>(vector, row, {start, values.size()});
}

void store_cell(duckdb_vector vector, Kind kind, uint64_t row, const Cell& cell) {
  if (cell.null) {
    duckdb_vector_ensure_validity_writable(vector);
    duckdb_validity_set_row_invalid(duckdb_vector_get_validity(vector), row);
    if (kind == Kind::kList) store<duckdb_list_entry>(vector, row, {0, 0});
    return;
  }
  switch (kind) {
    case Kind::kInt32: return store<int32_t>(vector, row, static_cast<int32_t>(cell.integer));
    case Kind::kInt64:
    case Kind::kInstant: return store<int64_t>(vector, row, cell.integer);
    case Kind::kDouble: return store<double>(vector, row, cell.number);
    case Kind::kText: return duckdb_vector_assign_string_element_len(vector, row, cell.text.data(), cell.text.size());
    case Kind::kList: return store_list(vector, row, cell.list);
  }
}

// Splits "a.b.c" at its points; soak names hold none of their own.
std::vector<std::string> name_parts(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char c : name) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

}  // namespace

Database::Database(const std::string& path, Layout layout, const Settings& settings) : layout_(layout) {
  duckdb_config config = nullptr;
  duckdb_create_config(&config);
  Settings all = {{"checkpoint_threshold", "1TB"}, {"memory_limit", "256MB"}, {"threads", "2"}};
  all.insert(all.end(), settings.begin(), settings.end());
  if (std::erase(all, std::pair<std::string, std::string>("torn_log", "keep")) == 0) cut_ = duckdb::cut_torn_log(path);
  for (const auto& [name, value] : all) {
    if (duckdb_set_config(config, name.c_str(), value.c_str()) != DuckDBSuccess) {
      duckdb_destroy_config(&config);
      throw TargetError("configure", name);
    }
  }
  char* text = nullptr;
  const duckdb_state state =
      duckdb_open_ext(layout == Layout::kOrdinary ? path.c_str() : nullptr, &handle_, config, &text);
  duckdb_destroy_config(&config);
  if (state != DuckDBSuccess) {
    const std::string reason = text != nullptr ? text : "no text";
    duckdb_free(text);
    throw TargetError("open", reason);
  }
  if (layout == Layout::kOrdinary) return;
  try {
    Connection(*this, "ATTACH '" + path + "' AS target (BLOCK_SIZE 16384, ROW_GROUP_SIZE 2048)");
  } catch (const TargetError&) {
    duckdb_close(&handle_);
    throw;
  }
}

Connection::Connection(const Database& database)
    : Connection(database, database.layout() == Layout::kOrdinary ? "SELECT 1" : "USE target") {}

Connection::Connection(const Database& database, const std::string& first) {
  if (duckdb_connect(database.handle(), &handle_) != DuckDBSuccess) throw TargetError("connect", "refused");
  try {
    run(first);
  } catch (const TargetError&) {
    duckdb_disconnect(&handle_);
    throw;
  }
}

uint64_t Connection::run(const std::string& sql) {
  ResultOwner owner;
  execute(handle_, sql, owner);
  return duckdb_rows_changed(&owner.result);
}

void Connection::read(const std::string& sql, const std::function<void(duckdb_data_chunk)>& take) {
  ResultOwner owner;
  execute(handle_, sql, owner);
  while (duckdb_data_chunk chunk = duckdb_fetch_chunk(owner.result)) {
    take(chunk);
    duckdb_destroy_data_chunk(&chunk);
  }
}

int64_t Connection::number(const std::string& sql, int64_t otherwise) {
  int64_t value = otherwise;
  read(sql, [&](duckdb_data_chunk chunk) {
    if (duckdb_data_chunk_get_size(chunk) == 0) return;
    const Cell cell = read_cell(duckdb_data_chunk_get_vector(chunk, 0), Kind::kInt64, 0);
    if (!cell.null) value = cell.integer;
  });
  return value;
}

RowAppender::RowAppender(const Connection& connection, const std::string& name, const std::vector<Column>& columns)
    : columns_(columns) {
  const std::vector<std::string> parts = name_parts(name);
  const size_t last = parts.size() - 1;
  const char* catalog = parts.size() == 3 ? parts[0].c_str() : nullptr;
  if (duckdb_appender_create_ext(connection.handle(), catalog, parts[last - 1].c_str(), parts[last].c_str(),
                                 &handle_) != DuckDBSuccess) {
    const char* text = duckdb_appender_error(handle_);
    const TargetError error("appender", text != nullptr ? text : "no text");
    duckdb_appender_destroy(&handle_);
    throw error;
  }
  std::vector<duckdb_logical_type> types;
  for (const Column& column : columns_) types.push_back(logical_type(column.kind));
  chunk_ = duckdb_create_data_chunk(types.data(), types.size());
  for (duckdb_logical_type& type : types) duckdb_destroy_logical_type(&type);
}

RowAppender::~RowAppender() {
  duckdb_destroy_data_chunk(&chunk_);
  duckdb_appender_destroy(&handle_);
}

void RowAppender::append(const std::vector<Cell>& cells) {
  for (size_t i = 0; i < columns_.size(); ++i) {
    store_cell(duckdb_data_chunk_get_vector(chunk_, i), columns_[i].kind, rows_, cells[i]);
  }
  if (++rows_ == duckdb_vector_size()) send();
}

void RowAppender::send() {
  duckdb_data_chunk_set_size(chunk_, rows_);
  if (duckdb_append_data_chunk(handle_, chunk_) != DuckDBSuccess) {
    throw TargetError("append", duckdb_appender_error(handle_));
  }
  duckdb_data_chunk_reset(chunk_);
  rows_ = 0;
}

void RowAppender::close() {
  if (rows_ > 0) send();
  if (duckdb_appender_close(handle_) != DuckDBSuccess) throw TargetError("append", duckdb_appender_error(handle_));
}

Cell read_cell(duckdb_vector vector, Kind kind, uint64_t row) {
  Cell cell;
  uint64_t* validity = duckdb_vector_get_validity(vector);
  if (validity != nullptr && !duckdb_validity_row_is_valid(validity, row)) {
    cell.null = true;
    return cell;
  }
  switch (kind) {
    case Kind::kInt32: cell.integer = load<int32_t>(vector, row); break;
    case Kind::kInt64:
    case Kind::kInstant: cell.integer = load<int64_t>(vector, row); break;
    case Kind::kDouble: cell.number = load<double>(vector, row); break;
    case Kind::kText: {
      duckdb_string_t text = load<duckdb_string_t>(vector, row);
      cell.text.assign(duckdb_string_t_data(&text), duckdb_string_t_length(text));
      break;
    }
    case Kind::kList: {
      const auto entry = load<duckdb_list_entry>(vector, row);
      duckdb_vector child = duckdb_list_vector_get_child(vector);
      for (uint64_t i = 0; i < entry.length; ++i) cell.list.push_back(load<int64_t>(child, entry.offset + i));
      break;
    }
  }
  return cell;
}

Match compare(const Cell& expected, const Cell& found, Kind kind) {
  if (expected.null || found.null) return expected.null == found.null ? Match::kSame : Match::kDifferent;
  switch (kind) {
    case Kind::kInt32:
    case Kind::kInt64:
    case Kind::kInstant: return expected.integer == found.integer ? Match::kSame : Match::kDifferent;
    case Kind::kText: return expected.text == found.text ? Match::kSame : Match::kDifferent;
    case Kind::kList: return expected.list == found.list ? Match::kSame : Match::kDifferent;
    case Kind::kDouble: break;
  }
  if (std::isnan(expected.number) && std::isnan(found.number)) return Match::kSame;
  if (expected.number != found.number) return Match::kDifferent;
  return std::signbit(expected.number) == std::signbit(found.number) ? Match::kSame : Match::kSignLost;
}

}  // namespace tailrace::soak
