#include "sinks/lake/lake_writer.h"

#include <utility>

#include "base/crash_point.h"
#include "sinks/lake/lake_target.h"
#include "sinks/lake/new_changes.h"

namespace tailrace::lake {

using sinks::RowChange;
using sinks::RowOperation;

LakeWriter::LakeWriter(LakeTarget& target)
    : target_(target),
      store_(target.spec().store()),
      gathering_(
          gathered_bytes(target.spec()), target.spec().partitioning,
          [this](const std::shared_ptr<const TableShape>& shape) { return target_.file(shape); },
          [this](GatheredRows& gathered) { stage(gathered); }) {}

LakeWriter::~LakeWriter() = default;

void LakeWriter::write(std::span<const RowChange> changes, const sinks::StateChanges& state) {
  for_each_new(changes, target_, [this](const RowChange& change, const std::shared_ptr<const TableShape>& shape) {
    gathering_.append(change, shape);
    if (change.operation != RowOperation::kCopied) through_[change.relation->oid.value()] = change.seq;
  });
  gathering_.take_in();
  inside_ = inside_ || !changes.empty();
  if (state.empty()) return;
  gathering_.take_out_all();
  target_.hand_over(std::exchange(staged_, {}));
  target_.commit(state, std::exchange(through_, {}));
  inside_ = false;
}

void LakeWriter::finish() {
  gathering_.take_out_all();
  target_.hand_over(std::exchange(staged_, {}));
}

void LakeWriter::stage(GatheredRows& gathered) {
  if (gathered.copied) {
    gathered.first = gathered.last = target_.places_of_copied(gathered.rows);
    gathered.last.ordinal += gathered.rows - 1;
  }
  const LakeSpec& spec = target_.spec();
  const std::size_t rows_bytes = gathered.bytes - gathered.file->least_bytes();
  const std::string bytes = gathered.file->finish();
  gathered.file.reset();
  LakeObject object;
  object.path = gathered.shape->folder() + partition_folder(spec.partitioning, gathered.day) +
                range_name(gathered.first, gathered.last) + spec.form.ending();
  object.table = gathered.shape->relation().display_name();
  object.first = gathered.first;
  object.last = gathered.last;
  object.rows = gathered.rows;
  object.bytes = bytes.size();
  object.group = gathered.shape->folder() + partition_folder(spec.partitioning, gathered.day);
  object.version = gathered.shape->version();
  for (const std::size_t column : gathered.shape->key())
    object.key.push_back(gathered.shape->relation().columns[column].name);
  object.gathered = rows_bytes;
  object.token = store_->stage(object.path, bytes);
  staged_.push_back(std::move(object));
  TAILRACE_CRASH_POINT("lake.object_staged");
}

}  // namespace tailrace::lake
