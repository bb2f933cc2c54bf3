#include "sinks/lake/lake_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "sinks/lake/json_file.h"
#include "sinks/lake/lake_writer.h"

namespace tailrace::lake {
namespace {

using sinks::RowChange;

constexpr std::uint64_t kLeastEngineMemory = 64ULL << 20;

}  // namespace

LakeTarget::LakeTarget(LakeSpec spec) : spec_(std::move(spec)) {}
LakeTarget::~LakeTarget() = default;

sinks::RowTraits LakeTarget::traits() const {
  return {.style = sinks::RowStyle::kEvents, .takes_unchanged = true, .unit_changes = 20'000, .unit_bytes = 4U << 20};
}

Ledger& LakeTarget::ledger() {
  if (!ledger_) throw RetryError("TR807", "the target is not open", "it is opened again");
  return *ledger_;
}

sinks::StateMap LakeTarget::open() {
  release();
  ledger_ = std::make_unique<Ledger>(spec_.store());
  const CommitRecord& last = ledger_->open();
  tables_ = last.tables;
  return last.state;
}

std::unique_ptr<sinks::RowWriter> LakeTarget::writer() {
  // Not sooner: until here the lake may turn out to be somebody else's. The first writer is the sink's own.
  if (!settled_) {
    ledger().settle();
    settled_ = true;
  }
  return std::make_unique<LakeWriter>(*this);
}

void LakeTarget::forget_shapes() {
  const std::lock_guard lock(mutex_);
  shapes_.clear();
}

std::shared_ptr<const TableShape> LakeTarget::shape(const Relation& relation) const {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const TableShape>& known = shapes_[&relation];
  if (!known || known->relation().oid != relation.oid) known = std::make_shared<TableShape>(relation, spec_);
  return known;
}

std::unique_ptr<RowFile> LakeTarget::file(const std::shared_ptr<const TableShape>& shape) {
  if (spec_.format == Format::kJsonLines) return std::make_unique<JsonFile>(shape);
  {
    const std::lock_guard lock(mutex_);
    if (!engine_) engine_ = std::make_shared<vectors::ParquetEngine>(std::max(spec_.memory / 2, kLeastEngineMemory));
  }
  return std::make_unique<ParquetFile>(engine_, shape);
}

std::string LakeTarget::obstacle(const Relation& relation) const {
  std::string reason = TableShape::obstacle(relation, spec_.format);
  if (!reason.empty()) return reason;
  const std::string folder = spec_.path.of(relation);
  for (const auto& [oid, table] : tables_)
    if (oid != relation.oid.value() && table.folder == folder && table.name != relation.display_name())
      return fmt::format("its folder {} is that of {} already; put {{schema}} into `path`", folder, table.name);
  return {};
}

const char* LakeTarget::refusal_of(const RowChange& change) const {
  return shape(*change.relation)->refusal_of(change);
}

void LakeTarget::make_table(const Relation& relation, bool ours) {
  forget_shapes();
  const std::string folder = spec_.path.of(relation);
  const std::vector<std::string> there = ledger().store().list(folder);
  const bool known =
      ours || std::ranges::any_of(tables_, [&folder](const auto& table) { return table.second.folder == folder; });
  if (std::ranges::any_of(there, is_object)) {
    if (!known)
      throw RefusedError(
          "TR858", fmt::format("{} of {} has objects already, which are not of this pipeline", folder, spec_.display()),
          "choose another `path` or another lake, or move them away");
    emptied_.push_back(folder);
  }
  // A table of this name that was there before is gone, and so is what told of it.
  std::erase_if(tables_, [&folder](const auto& table) { return table.second.folder == folder; });
  tables_[relation.oid.value()] = {relation.display_name(), folder, Seq(0)};
  const std::lock_guard lock(mutex_);
  next_copied_ = {0, Lsn(ledger().last().number + 1), 0};
}

void LakeTarget::empty_table(const Relation& relation) {
  throw DefectError(fmt::format("the lake was to empty {}, of which it keeps every change", relation.display_name()));
}

std::string LakeTarget::alter_table(const Relation& before, const Relation& after, const SchemaChange& /*change*/) {
  forget_shapes();
  if (before.schema != after.schema || before.name != after.name) return "it has another name, and so another folder";
  return TableShape::obstacle(after, spec_.format);
}

void LakeTarget::release() {
  ledger_.reset();
  settled_ = false;
  emptied_.clear();
  tables_.clear();
  forget_shapes();
  const std::lock_guard lock(mutex_);
  handed_over_.clear();
  engine_.reset();
}

Seq LakeTarget::through(Oid table) const {
  const auto known = tables_.find(table.value());
  return known == tables_.end() ? Seq(0) : known->second.through;
}

Position LakeTarget::places_of_copied(std::uint64_t rows) {
  const std::lock_guard lock(mutex_);
  const Position first = next_copied_;
  next_copied_.ordinal += rows;
  return first;
}

void LakeTarget::hand_over(std::vector<LakeObject> objects) {
  const std::lock_guard lock(mutex_);
  std::ranges::move(objects, std::back_inserter(handed_over_));
}

void LakeTarget::commit(const sinks::StateChanges& state, const std::map<std::uint32_t, Seq>& through) {
  for (const auto& [oid, seq] : through)
    if (const auto table = tables_.find(oid); table != tables_.end())
      table->second.through = std::max(table->second.through, seq);
  CommitRecord record;
  record.state = ledger().last().state;
  for (const auto& [key, value] : state) {
    if (value) {
      record.state[key] = *value;
    } else {
      record.state.erase(key);
    }
  }
  record.tables = tables_;
  record.emptied = std::exchange(emptied_, {});
  {
    const std::lock_guard lock(mutex_);
    record.objects = std::exchange(handed_over_, {});
  }
  std::ranges::sort(record.objects, {}, &LakeObject::path);
  ledger().commit(std::move(record));
}

}  // namespace tailrace::lake
