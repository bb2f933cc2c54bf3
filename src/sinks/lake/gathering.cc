#include "sinks/lake/gathering.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/time.h"

namespace tailrace::lake {
namespace {

using sinks::RowChange;
using sinks::RowOperation;

std::int32_t days_since_1970(PgTime time) {
  const std::chrono::sys_time<std::chrono::microseconds> at{std::chrono::microseconds(time.unix_micros())};
  return static_cast<std::int32_t>(std::chrono::floor<std::chrono::days>(at).time_since_epoch().count());
}

}  // namespace

Gathering::Gathering(std::size_t most, Partitioning partitioning, MakeFile make, TakeOut take_out)
    : partitioning_(partitioning),
      make_(std::move(make)),
      take_out_(std::move(take_out)),
      most_(most),
      today_(days_since_1970(PgTime::now())) {}

std::int32_t Gathering::day_of(const RowChange& change) const {
  if (partitioning_ == Partitioning::kNone) return 0;
  return change.operation == RowOperation::kCopied ? today_ : days_since_1970(change.commit_time);
}

GatheredRows& Gathering::place_of(const std::shared_ptr<const TableShape>& shape, std::int32_t day) {
  if (recent_ == nullptr || recent_->shape != shape || recent_->day != day) recent_ = &gathered_[{shape.get(), day}];
  return *recent_;
}

void Gathering::append(const RowChange& change, const std::shared_ptr<const TableShape>& shape) {
  const std::int32_t day = day_of(change);
  GatheredRows& rows = place_of(shape, day);
  if (!rows.file) {
    rows.shape = shape;
    rows.day = day;
    rows.copied = change.operation == RowOperation::kCopied;
    rows.file = make_(shape);
    rows.first = change.position;
    rows.bytes = rows.file->least_bytes();
    bytes_ += rows.bytes;
  }
  rows.file->append(change);
  rows.last = change.position;
  rows.through = change.seq;
  ++rows.rows;
  const std::size_t size = change.old_row.bytes().size() + change.new_row.bytes().size() + rows.file->row_bytes();
  rows.bytes += size;
  bytes_ += size;
  if (bytes_ > most_) take_out_largest();
}

void Gathering::take_in() {
  for (auto& [key, rows] : gathered_) rows.file->take_in();
}

void Gathering::take_out_largest() {
  const auto largest = std::ranges::max_element(gathered_, {}, [](const auto& entry) { return entry.second.bytes; });
  bytes_ -= largest->second.bytes;
  recent_ = nullptr;
  take_out_(largest->second);
  gathered_.erase(largest);
}

void Gathering::take_out_all() {
  while (!gathered_.empty()) take_out_largest();
}

}  // namespace tailrace::lake
