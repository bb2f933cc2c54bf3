#include "sinks/lake/ducklake_writer.h"

#include <fmt/format.h>

#include <utility>

#include "base/crash_point.h"
#include "base/error.h"
#include "sinks/lake/ducklake_target.h"
#include "sinks/lake/new_changes.h"

namespace tailrace::lake {

using sinks::RowChange;

DuckLakeWriter::DuckLakeWriter(DuckLakeTarget& target)
    : target_(target),
      store_(target.spec().store()),
      gathering_(
          gathered_bytes(target.spec()), target.spec().partitioning,
          [this](const std::shared_ptr<const TableShape>& shape) {
            return std::make_unique<ParquetFile>(target_.engine(), shape, target_.spec().form);
          },
          [this](GatheredRows& rows) { write_file(rows); }) {}

DuckLakeWriter::~DuckLakeWriter() = default;

void DuckLakeWriter::write(std::span<const RowChange> changes, const sinks::StateChanges& state) {
  for_each_new(changes, target_, [this](const RowChange& change, const std::shared_ptr<const TableShape>& shape) {
    gathering_.append(change, shape);
  });
  gathering_.take_in();
  if (state.empty()) return;
  finish();
  target_.commit(state);
}

void DuckLakeWriter::finish() {
  gathering_.take_out_all();
  target_.hand_over(std::exchange(written_, {}));
}

void DuckLakeWriter::write_file(GatheredRows& rows) {
  if (rows.copied) {
    rows.first = rows.last = target_.places_of_copied(rows.rows);
    rows.last.ordinal += rows.rows - 1;
  }
  auto& parquet = static_cast<ParquetFile&>(*rows.file);
  const std::string bytes = parquet.finish();
  DuckLakeFile file;
  file.shape = rows.shape;
  file.name = partition_folder(target_.spec().partitioning, rows.day) + range_name(rows.first, rows.last) + ".parquet";
  file.first = rows.first;
  file.through = rows.copied ? Seq(0) : rows.through;
  file.rows = rows.rows;
  file.bytes = bytes.size();
  file.statistics = parquet.statistics();
  rows.file.reset();
  const std::string path = file.shape->folder() + file.name;
  target_.catalog().note_file(path);
  if (!store_->publish(path, store_->stage(path, bytes)))
    throw RetryError("TR850", fmt::format("{} did not come to its place", path), "it is written again");
  TAILRACE_CRASH_POINT("ducklake.file_written");
  written_.push_back(std::move(file));
}

}  // namespace tailrace::lake
