#include "sinks/lake/parquet_file.h"

#include <unistd.h>

#include <array>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "sinks/row_unit.h"

namespace tailrace::lake {
namespace {

using sinks::RowChange;
using sinks::RowOperation;
using vectors::RowChunk;

/// Behind the table's columns, with their types.
constexpr std::array<std::pair<const char*, const char*>, 7> kMetas = {{{kOperation, "VARCHAR"},
                                                                        {kCommitLsn, "UBIGINT"},
                                                                        {kOrdinal, "UBIGINT"},
                                                                        {kSeq, "UBIGINT"},
                                                                        {kCommitTime, "TIMESTAMPTZ"},
                                                                        {kOldRow, "JSON"},
                                                                        {kUnchangedColumns, "JSON"}}};
std::vector<vectors::ParquetColumn> columns_of(const TableShape& shape) {
  std::vector<vectors::ParquetColumn> columns;
  for (std::size_t n = 0; n < shape.types().size(); ++n)
    columns.push_back({shape.relation().columns[n].name, shape.types()[n].sql()});
  for (const auto& [name, type] : kMetas) columns.push_back({name, type});
  return columns;
}

/// The key, then the order of the stream.
std::vector<std::size_t> order_of(const TableShape& shape) {
  std::vector<std::size_t> order = shape.key();
  for (const char* by : {kSeq, kOrdinal})
    for (std::size_t n = 0; n < kMetas.size(); ++n)
      if (std::string_view(kMetas[n].first) == by) order.push_back(shape.types().size() + n);
  return order;
}

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

}  // namespace

ParquetFile::ParquetFile(std::shared_ptr<vectors::ParquetEngine> engine, std::shared_ptr<const TableShape> shape)
    : shape_(std::move(shape)), rows_(std::move(engine), columns_of(*shape_), shape_->types(), order_of(*shape_)) {}

void ParquetFile::put_metas(const RowChange& change) {
  RowChunk& row = rows_.row();
  std::size_t column = shape_->types().size();
  row.set_text(column++, operation_name(change.operation));
  row.set_int64(column++, static_cast<std::int64_t>(change.position.commit_end.value()));
  row.set_int64(column++, static_cast<std::int64_t>(change.position.ordinal));
  row.set_int64(column++, static_cast<std::int64_t>(change.seq.value()));
  if (change.operation == RowOperation::kCopied) {
    row.set_null(column++);
  } else {
    row.set_int64(column++, change.commit_time.unix_micros());
  }
  if (change.operation == RowOperation::kUpdate && change.old_row.present()) {
    text_.clear();
    shape_->append_old(change, text_);
    row.set_text(column++, text_);
  } else {
    row.set_null(column++);
  }
  if (change.new_row.present() && sinks::has_unchanged(change.new_row)) {
    text_.clear();
    shape_->json().append_unchanged(change.new_row, text_);
    row.set_text(column, text_);
  } else {
    row.set_null(column);
  }
}

void ParquetFile::append(const RowChange& change) {
  const TupleView row = change.new_row.present() ? change.new_row : change.old_row;
  const std::size_t columns = shape_->types().size();
  if (row.present()) {
    auto fields = row.begin();
    for (std::size_t n = 0; n < columns; ++n) {
      Field field = fields.next();
      if (field.kind == FieldKind::kUnchanged) field = {};
      if (!rows_.row().put(n, field)) throw DefectError("a change was not refused that its object cannot hold");
    }
  } else {
    for (std::size_t n = 0; n < columns; ++n) rows_.row().set_null(n);
  }
  put_metas(change);
  rows_.end_row();
}

std::string ParquetFile::finish() {
  const UniqueFd file = rows_.finish();
  return read_back(file.get());
}

}  // namespace tailrace::lake
