#include "sinks/lake/lake_writer.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/crash_point.h"
#include "base/time.h"
#include "sinks/lake/lake_target.h"

namespace tailrace::lake {
namespace {

using sinks::RowChange;
using sinks::RowOperation;

/// What an object takes that has hardly a row.
constexpr std::size_t kObjectBytes = 512U << 10;
/// What a row takes besides its values.
constexpr std::size_t kRowBytes = 48;
constexpr std::size_t kLeastGathered = 4U << 20;
constexpr std::size_t kMostGathered = 64U << 20;

std::int32_t days_since_1970(PgTime time) {
  const std::chrono::sys_time<std::chrono::microseconds> at{std::chrono::microseconds(time.unix_micros())};
  return static_cast<std::int32_t>(std::chrono::floor<std::chrono::days>(at).time_since_epoch().count());
}

}  // namespace

LakeWriter::LakeWriter(LakeTarget& target)
    : target_(target),
      store_(target.spec().store()),
      most_(bound_or_tested("LAKE_BYTES",
                            std::clamp<std::size_t>(target.spec().memory / 16, kLeastGathered, kMostGathered))),
      today_(days_since_1970(PgTime::now())) {}

LakeWriter::~LakeWriter() = default;

std::int32_t LakeWriter::day_of(const RowChange& change) const {
  if (target_.spec().partitioning == Partitioning::kNone) return 0;
  return change.operation == RowOperation::kCopied ? today_ : days_since_1970(change.commit_time);
}

void LakeWriter::write(std::span<const RowChange> changes, const sinks::StateChanges& state) {
  const Relation* relation = nullptr;
  std::shared_ptr<const TableShape> shape;
  // What is in the lake already comes again after the cursor was taken back.
  Seq done;
  for (const RowChange& change : changes) {
    if (change.relation != relation) {
      relation = change.relation;
      shape = target_.shape(*relation);
      done = change.operation == RowOperation::kCopied ? Seq(0) : target_.through(relation->oid);
    }
    if (change.operation != RowOperation::kCopied && change.seq <= done) continue;
    append(change, shape);
  }
  for (auto& [key, gathered] : gathered_) gathered.file->take_in();
  if (state.empty()) return;
  stage_all();
  target_.hand_over(std::exchange(staged_, {}));
  target_.commit(state, std::exchange(through_, {}));
}

void LakeWriter::finish() {
  stage_all();
  target_.hand_over(std::exchange(staged_, {}));
}

void LakeWriter::append(const RowChange& change, const std::shared_ptr<const TableShape>& shape) {
  const std::int32_t day = day_of(change);
  Gathered& gathered = gathered_[{shape.get(), day}];
  if (!gathered.file) {
    gathered.shape = shape;
    gathered.day = day;
    gathered.copied = change.operation == RowOperation::kCopied;
    gathered.file = target_.file(shape);
    gathered.first = change.position;
    gathered.bytes = kObjectBytes;
    bytes_ += kObjectBytes;
  }
  gathered.file->append(change);
  gathered.last = change.position;
  ++gathered.rows;
  const std::size_t size = change.old_row.bytes().size() + change.new_row.bytes().size() + kRowBytes;
  gathered.bytes += size;
  bytes_ += size;
  if (!gathered.copied) through_[change.relation->oid.value()] = change.seq;
  if (bytes_ > most_) stage_largest();
}

void LakeWriter::stage(Gathered& gathered) {
  if (gathered.copied) {
    gathered.first = gathered.last = target_.places_of_copied(gathered.rows);
    gathered.last.ordinal += gathered.rows - 1;
  }
  const LakeSpec& spec = target_.spec();
  const std::string bytes = gathered.file->finish();
  gathered.file.reset();
  LakeObject object;
  object.path = gathered.shape->folder() + partition_folder(spec.partitioning, gathered.day) +
                range_name(gathered.first, gathered.last) + (spec.format == Format::kParquet ? ".parquet" : ".jsonl");
  object.table = gathered.shape->relation().display_name();
  object.first = gathered.first;
  object.last = gathered.last;
  object.rows = gathered.rows;
  object.bytes = bytes.size();
  object.token = store_->stage(object.path, bytes);
  staged_.push_back(std::move(object));
  bytes_ -= gathered.bytes;
  TAILRACE_CRASH_POINT("lake.object_staged");
}

void LakeWriter::stage_largest() {
  const auto largest = std::ranges::max_element(gathered_, {}, [](const auto& entry) { return entry.second.bytes; });
  stage(largest->second);
  gathered_.erase(largest);
}

void LakeWriter::stage_all() {
  for (auto& [key, gathered] : gathered_) stage(gathered);
  gathered_.clear();
}

}  // namespace tailrace::lake
