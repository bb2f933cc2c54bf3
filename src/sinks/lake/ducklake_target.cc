#include "sinks/lake/ducklake_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "formats/row_json.h"
#include "sinks/lake/ducklake_writer.h"
#include "sinks/row_state.h"

namespace tailrace::lake {
namespace {

using sinks::RowChange;

constexpr std::uint64_t kLeastEngineMemory = 64ULL << 20;
constexpr const char* kCursor = "cursor";

/// How far a step goes, for who looks at its snapshot.
SnapshotNote note_of(const std::string& pipeline, const sinks::StateChanges& state) {
  SnapshotNote note;
  note.author = "tailrace " + pipeline;
  note.message = "copy";
  note.extra = "{\"pipeline\":";
  formats::append_json_string(pipeline, note.extra);
  if (const auto written = state.find(kCursor); written != state.end() && written->second) {
    const Cursor cursor = sinks::decode_cursor(*written->second).first;
    note.message = "up to " + cursor.position.commit_end.str();
    note.extra += fmt::format(R"(,"lsn":"{}","epoch":{},"seq":{})", cursor.position.commit_end.str(),
                              cursor.position.epoch, cursor.seq.value());
  }
  note.extra += '}';
  return note;
}

}  // namespace

DuckLakeTarget::DuckLakeTarget(LakeSpec spec) : spec_(std::move(spec)) {}
DuckLakeTarget::~DuckLakeTarget() = default;

sinks::RowTraits DuckLakeTarget::traits() const {
  return {.style = sinks::RowStyle::kEvents, .takes_unchanged = true, .unit_changes = 20'000, .unit_bytes = 4U << 20};
}

DuckLakeCatalog& DuckLakeTarget::catalog() {
  if (!catalog_) throw RetryError("TR807", "the target is not open", "it is opened again");
  return *catalog_;
}

sinks::StateMap DuckLakeTarget::open() {
  release();
  // So that a place that cannot be had is found before there is something to be lost.
  spec_.store()->list("_");
  catalog_ = std::make_unique<DuckLakeCatalog>(spec_.catalog, spec_.data_path());
  return catalog_->state();
}

std::unique_ptr<sinks::RowWriter> DuckLakeTarget::writer() {
  // Not sooner: until here the lake may turn out to be somebody else's. The first writer is the sink's own.
  if (!settled_) {
    catalog().prepare();
    const std::unique_ptr<Store> store = spec_.store();
    for (const std::string& path : catalog().unnamed_files()) {
      store->remove(path);
      catalog().forget_file(path);
    }
    store->drop_staged();
    settled_ = true;
  }
  return std::make_unique<DuckLakeWriter>(*this);
}

void DuckLakeTarget::forget_shapes() {
  const std::lock_guard lock(mutex_);
  shapes_.clear();
}

Seq DuckLakeTarget::through(Oid table) { return catalog().through(table); }

std::shared_ptr<const TableShape> DuckLakeTarget::shape(const Relation& relation) const {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const TableShape>& known = shapes_[&relation];
  if (!known || known->relation().oid != relation.oid) known = std::make_shared<TableShape>(relation, spec_);
  return known;
}

std::shared_ptr<vectors::ParquetEngine> DuckLakeTarget::engine() {
  const std::lock_guard lock(mutex_);
  if (!engine_) engine_ = std::make_shared<vectors::ParquetEngine>(std::max(spec_.memory / 2, kLeastEngineMemory));
  return engine_;
}

std::string DuckLakeTarget::obstacle(const Relation& relation) const { return TableShape::obstacle(relation, spec_); }

const char* DuckLakeTarget::refusal_of(const RowChange& change) const {
  return shape(*change.relation)->refusal_of(change);
}

void DuckLakeTarget::make_table(const Relation& relation, bool /*ours*/) {
  forget_shapes();
  // What is ours is known by the catalog itself.
  catalog().refuse_foreign(relation);
  made_.push_back(std::make_shared<TableShape>(relation, spec_));
  const std::lock_guard lock(mutex_);
  next_copied_ = {0, Lsn(catalog().number() + 1), 0};
}

void DuckLakeTarget::empty_table(const Relation& relation) {
  throw DefectError(fmt::format("the lake was to empty {}, of which it keeps every change", relation.display_name()));
}

std::string DuckLakeTarget::alter_table(const Relation& before, const Relation& after, const SchemaChange& /*change*/) {
  forget_shapes();
  if (before.schema != after.schema || before.name != after.name) return "it has another name";
  const TableShape was(before, spec_);
  const TableShape is(after, spec_);
  // A column whose values were written anew counts as another one elsewhere, but it has its number.
  for (std::size_t n = 0; n < after.columns.size(); ++n) {
    const Column& column = after.columns[n];
    const auto same = std::ranges::find(before.columns, column.attnum, &Column::attnum);
    if (column.attnum == 0 || same == before.columns.end()) continue;
    const vectors::TargetType& from = was.types()[static_cast<std::size_t>(same - before.columns.begin())];
    const vectors::TargetType& into = is.types()[n];
    if (from == into || (!from.list && !into.list && can_widen(ducklake_type(from), ducklake_type(into)))) continue;
    return fmt::format("its column {} has a type as which DuckLake does not read the former one", column.name);
  }
  return TableShape::obstacle(after, spec_);
}

void DuckLakeTarget::release() {
  catalog_.reset();
  settled_ = false;
  made_.clear();
  forget_shapes();
  const std::lock_guard lock(mutex_);
  handed_over_.clear();
  engine_.reset();
}

Position DuckLakeTarget::places_of_copied(std::uint64_t rows) {
  const std::lock_guard lock(mutex_);
  const Position first = next_copied_;
  next_copied_.ordinal += rows;
  return first;
}

void DuckLakeTarget::hand_over(std::vector<DuckLakeFile> files) {
  const std::lock_guard lock(mutex_);
  std::ranges::move(files, std::back_inserter(handed_over_));
}

void DuckLakeTarget::commit(const sinks::StateChanges& state) {
  DuckLakeStep step;
  step.made = made_;
  {
    const std::lock_guard lock(mutex_);
    step.files = handed_over_;
  }
  // A table's versions follow each other as its changes do.
  std::ranges::sort(step.files, {}, &DuckLakeFile::first);
  step.state = state;
  step.note = note_of(spec_.pipeline, state);
  catalog().commit(step);
  made_.clear();
  const std::lock_guard lock(mutex_);
  handed_over_.clear();
}

}  // namespace tailrace::lake
