#include "sinks/lake/parquet_file.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/unique_fd.h"

namespace tailrace::lake {
namespace {

using sinks::RowChange;

/// What an object takes that has hardly a row: DuckDB's and ours.
constexpr std::size_t kLeastBytes = 512U << 10;

const char* type_of(Extra extra) {
  switch (extra) {
    case Extra::kOperation:
    case Extra::kDeleted: return "VARCHAR";
    case Extra::kCommitLsn:
    case Extra::kOrdinal:
    case Extra::kSeq: return "UBIGINT";
    case Extra::kCommitTime: return "TIMESTAMPTZ";
    case Extra::kOldRow:
    case Extra::kUnchanged: return "JSON";
  }
  return "VARCHAR";
}

std::vector<vectors::ParquetColumn> columns_of(const TableShape& shape) {
  std::vector<vectors::ParquetColumn> columns;
  for (std::size_t n = 0; n < shape.types().size(); ++n)
    columns.push_back({shape.relation().columns[n].name, shape.types()[n].sql()});
  for (const ExtraColumn& extra : shape.extras()) columns.push_back({extra.name, type_of(extra.what)});
  return columns;
}

/// The key, then the order of the stream.
std::vector<std::size_t> order_of(const TableShape& shape) {
  std::vector<std::size_t> order = shape.key();
  for (const Extra by : {Extra::kSeq, Extra::kOrdinal})
    for (std::size_t n = 0; n < shape.extras().size(); ++n)
      if (shape.extras()[n].what == by) order.push_back(shape.types().size() + n);
  return order;
}

}  // namespace

std::string read_back(int descriptor) {
  const off_t size = ::lseek(descriptor, 0, SEEK_END);
  if (size <= 0) throw DefectError("DuckDB made a Parquet file of nothing");
  std::string bytes(static_cast<std::size_t>(size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::pread(descriptor, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (n <= 0) throw DefectError("a file in memory cannot be read");
    done += static_cast<std::size_t>(n);
  }
  return bytes;
}

ParquetFile::ParquetFile(std::shared_ptr<vectors::ParquetEngine> engine, std::shared_ptr<const TableShape> shape,
                         FileForm form)
    : shape_(std::move(shape)),
      rows_(std::move(engine), columns_of(*shape_), shape_->types(), order_of(*shape_), form.parquet_codec()) {}

std::size_t ParquetFile::least_bytes() const { return std::max(kLeastBytes, rows_.least_bytes()); }

bool ParquetFile::ascends(const vectors::RowChunk& row) {
  bool greater = last_key_.empty();
  last_key_.resize(shape_->key().size());
  for (std::size_t n = 0; n < last_key_.size(); ++n) {
    // Keys of integers are those of most tables; others are sorted in any case.
    const std::optional<std::int64_t> value = row.integer(shape_->key()[n]);
    if (!value || (!greater && *value < last_key_[n])) return false;
    greater = greater || *value > last_key_[n];
    last_key_[n] = *value;
  }
  return true;
}

void ParquetFile::put_extras(const RowChange& change, bool has_unchanged, vectors::RowChunk& row) {
  std::size_t column = shape_->types().size();
  for (const ExtraColumn& extra : shape_->extras()) {
    const std::size_t at = column++;
    switch (extra.what) {
      case Extra::kOperation: row.set_text(at, operation_name(change.operation)); break;
      case Extra::kCommitLsn:
      case Extra::kOrdinal:
      case Extra::kSeq:
      case Extra::kCommitTime:
        if (const auto value = shape_->number_of(change, extra.what)) {
          row.set_int64(at, *value);
        } else {
          row.set_null(at);
        }
        break;
      case Extra::kUnchanged:
        if (!has_unchanged) {
          row.set_null(at);
          break;
        }
        [[fallthrough]];
      case Extra::kOldRow:
      case Extra::kDeleted:
        text_.clear();
        if (shape_->append_text_of(change, extra.what, text_)) {
          row.set_text(at, text_);
        } else {
          row.set_null(at);
        }
        break;
    }
  }
}

void ParquetFile::append(const RowChange& change) {
  const TupleView tuple = change.row();
  const std::size_t columns = shape_->types().size();
  vectors::RowChunk& row = rows_.row();
  bool has_unchanged = false;
  if (tuple.present()) {
    auto fields = tuple.begin();
    for (std::size_t n = 0; n < columns; ++n) {
      Field field = fields.next();
      if (field.kind == FieldKind::kUnchanged) {
        has_unchanged = true;
        field = {};
      }
      if (!row.put(n, field)) throw DefectError("a change was not refused that its object cannot hold");
    }
  } else {
    for (std::size_t n = 0; n < columns; ++n) row.set_null(n);
  }
  put_extras(change, has_unchanged, row);
  sorted_ = sorted_ && ascends(row);
  row.end_row();
}

std::string ParquetFile::finish() {
  const UniqueFd file = rows_.finish(sorted_);
  return read_back(file.get());
}

}  // namespace tailrace::lake
