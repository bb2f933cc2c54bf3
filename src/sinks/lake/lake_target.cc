#include "sinks/lake/lake_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "sinks/lake/avro_file.h"
#include "sinks/lake/csv_file.h"
#include "sinks/lake/json_file.h"
#include "sinks/lake/lake_writer.h"
#include "sinks/lake/topic_writer.h"

namespace tailrace::lake {
namespace {

using sinks::RowChange;

constexpr std::uint64_t kLeastEngineMemory = 64ULL << 20;

std::string folder_of(const LakeSpec& spec, const Relation& relation) {
  return spec.connect ? spec.connect->folder_of(spec.connect->topic_of(relation)) : spec.path.of(relation);
}

}  // namespace

LakeTarget::LakeTarget(LakeSpec spec) : spec_(std::move(spec)), compactor_(spec_) {}
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
  offsets_given_ = offsets_handed_over_ = last.topics.next;
  small_ = last.small;
  return last.state;
}

std::unique_ptr<sinks::RowWriter> LakeTarget::writer() {
  // Not sooner: until here the lake may turn out to be somebody else's. The first writer is the sink's own.
  const bool stream = !settled_;
  if (!settled_) {
    ledger().settle();
    settled_ = true;
  }
  if (spec_.connect) return std::make_unique<TopicWriter>(*this, stream);
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
  switch (spec_.form.format) {
    case Format::kJsonLines: return std::make_unique<JsonFile>(shape, spec_.form.codec);
    case Format::kCsv: return std::make_unique<CsvFile>(shape, spec_.form.codec);
    case Format::kAvro: return std::make_unique<AvroFile>(shape, spec_.form.codec);
    case Format::kParquet: break;
  }
  return std::make_unique<ParquetFile>(engine(), shape, spec_.form);
}

std::shared_ptr<vectors::ParquetEngine> LakeTarget::engine() {
  const std::lock_guard lock(mutex_);
  if (!engine_) engine_ = std::make_shared<vectors::ParquetEngine>(std::max(spec_.memory / 2, kLeastEngineMemory));
  return engine_;
}

std::string LakeTarget::obstacle(const Relation& relation) const {
  std::string reason = TableShape::obstacle(relation, spec_);
  if (reason.empty() && spec_.connect) reason = spec_.connect->obstacle(relation);
  if (!reason.empty()) return reason;
  const std::string folder = folder_of(spec_, relation);
  for (const auto& [oid, table] : tables_)
    if (oid != relation.oid.value() && table.folder == folder && table.name != relation.display_name())
      return fmt::format("its folder {} is that of {} already; put {{schema}} into `{}`", folder, table.name,
                         spec_.connect ? "topic" : "path");
  return {};
}

const char* LakeTarget::refusal_of(const RowChange& change) const {
  if (const char* reason = spec_.connect ? spec_.connect->refusal_of(*change.relation, change) : nullptr) return reason;
  return shape(*change.relation)->refusal_of(change);
}

void LakeTarget::make_topic(const Relation& relation, bool ours) {
  const std::string topic = spec_.connect->topic_of(relation);
  const std::string folder = folder_of(spec_, relation);
  const bool known = ours || ledger().last().topics.next.contains(topic);
  const auto is_theirs = [&](const std::string& path) { return spec_.connect->is_object_of(topic, path); };
  if (!known && std::ranges::any_of(ledger().store().list(folder), is_theirs))
    throw RefusedError(
        "TR858", fmt::format("{} of {} has objects already, which are not of this pipeline", folder, spec_.display()),
        "choose another `topic` or another lake, or move them away");
  // What is there stays, and so does the number of its last change.
  Seq through;
  for (const auto& [oid, table] : tables_)
    if (table.folder == folder) through = std::max(through, table.through);
  std::erase_if(tables_, [&folder](const auto& table) { return table.second.folder == folder; });
  tables_[relation.oid.value()] = {relation.display_name(), folder, through};
  topics_begun_.push_back(topic);
}

void LakeTarget::make_table(const Relation& relation, bool ours) {
  forget_shapes();
  if (spec_.connect) return make_topic(relation, ours);
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
    std::erase_if(small_, [&folder](const auto& at) { return at.first.starts_with(folder); });
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
  return TableShape::obstacle(after, spec_);
}

void LakeTarget::release() {
  ledger_.reset();
  settled_ = false;
  compactor_.drop();
  small_.clear();
  emptied_.clear();
  topics_begun_.clear();
  tables_.clear();
  forget_shapes();
  const std::lock_guard lock(mutex_);
  handed_over_.clear();
  offsets_given_.clear();
  offsets_handed_over_.clear();
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

void LakeTarget::hand_over(std::vector<LakeObject> objects, const std::map<std::string, std::uint64_t>& next_offsets) {
  const std::lock_guard lock(mutex_);
  std::ranges::move(objects, std::back_inserter(handed_over_));
  for (const auto& [topic, next] : next_offsets) {
    std::uint64_t& known = offsets_handed_over_[topic];
    known = std::max(known, next);
  }
}

const CommitRecord& LakeTarget::last_step() { return ledger().last(); }

std::uint64_t LakeTarget::next_offset(const std::string& topic) const {
  const std::lock_guard lock(mutex_);
  const auto given = offsets_given_.find(topic);
  return given == offsets_given_.end() ? 0 : given->second;
}

std::uint64_t LakeTarget::take_offsets(const std::string& topic, std::uint64_t rows) {
  const std::lock_guard lock(mutex_);
  std::uint64_t& next = offsets_given_[topic];
  return std::exchange(next, next + rows);
}

void LakeTarget::commit(const sinks::StateChanges& state, const std::map<std::uint32_t, Seq>& through,
                        TopicStep topics) {
  for (const auto& [oid, seq] : through)
    if (const auto table = tables_.find(oid); table != tables_.end())
      table->second.through = std::max(table->second.through, seq);
  CommitRecord record;
  record.changes = state;
  record.tables = tables_;
  record.emptied = std::exchange(emptied_, {});
  {
    const std::lock_guard lock(mutex_);
    record.objects = std::exchange(handed_over_, {});
    for (const auto& [topic, next] : topics.next) {
      std::uint64_t& given = offsets_given_[topic];
      std::uint64_t& known = offsets_handed_over_[topic];
      given = std::max(given, next);
      known = std::max(known, next);
    }
    topics.next = offsets_handed_over_;
  }
  record.topics = std::move(topics);
  std::ranges::sort(record.objects, {}, &LakeObject::path);
  note_small(record.objects);
  finish_step(std::move(record));
}

void LakeTarget::finish_step(CommitRecord record) {
  record.small = small_;
  ledger().commit(std::move(record));
}

void LakeTarget::note_small(const std::vector<LakeObject>& objects) {
  if (spec_.compact_files == 0) return;
  for (const LakeObject& object : objects) {
    if (object.group.empty()) continue;
    SmallGroup& group = small_[object.group];
    // Rows of another version are not merged with these, and nothing is merged over what is large.
    const bool is_small = object.gathered < gathered_bytes(spec_) / 2;
    if (group.version != object.version || !is_small) group = {object.table, object.version, object.key, {}};
    if (is_small) group.objects.push_back({object.path, object.first, object.last, object.rows, object.gathered, 0});
  }
  std::erase_if(small_, [](const auto& at) { return at.second.objects.empty(); });
}

bool LakeTarget::wants_to_merge() const { return compactor_.has_something(small_); }

void LakeTarget::merge() {
  std::optional<Merged> merged;
  try {
    merged = compactor_.take();
  } catch (const Error& error) {
    // A file that somebody took away, a server that is busy: what is small stays so, and the stream goes on.
    log::warn("lake.not_merged", "{} {}: files of {} stay small: {}", "TR865", spec_.display(), compactor_.group(),
              error.what());
    small_.erase(compactor_.group());
    return;
  }
  if (merged) {
    const auto group = small_.find(merged->group);
    const LakeObject& object = merged->object;
    const SmallObject small{object.path, object.first, object.last, object.rows, merged->bytes, merged->level};
    // The folder may have been emptied meanwhile.
    if (group == small_.end() || !group->second.replace(merged->replaced, small, gathered_bytes(spec_) / 2)) return;
    CommitRecord record;
    record.tables = ledger().last().tables;
    record.topics = ledger().last().topics;
    record.objects = {object};
    record.replaced = std::move(merged->replaced);
    return finish_step(std::move(record));
  }
  compactor_.start(small_, spec_.form.format == Format::kParquet ? engine() : nullptr);
}

}  // namespace tailrace::lake
