#include "sinks/lake/topic_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/crash_point.h"
#include "base/error.h"
#include "sinks/lake/lake_target.h"
#include "sinks/lake/new_changes.h"

namespace tailrace::lake {
namespace {

using sinks::RowChange;
using sinks::RowOperation;

/// Steps that keep rows of files that are open.
constexpr std::size_t kMostKept = 64;

}  // namespace

TopicWriter::TopicWriter(LakeTarget& target, bool stream)
    : target_(target),
      layout_(*target.spec().connect),
      stream_(stream),
      store_(target.spec().store()),
      most_(gathered_bytes(target.spec())) {
  if (stream_) restore();
}

TopicWriter::~TopicWriter() = default;

void TopicWriter::restore() {
  const CommitRecord& last = target_.last_step();
  for (const auto& [name, next] : last.topics.next) topics_[name].next = next;
  for (const std::uint64_t number : last.topics.kept) {
    const std::string bytes = store_->read(open_rows_path(number));
    read_open_files(bytes, [&](const KeptRows& kept) {
      if (std::ranges::find(last.topics.open, kept.file) == last.topics.open.end()) return;
      Topic& topic = topics_[kept.file.topic];
      OpenFile& file = topic.files[kept.partition];
      if (!file.file) {
        file.shape = std::make_shared<TableShape>(*kept.relation, target_.spec());
        file.file = target_.file(file.shape);
        file.offset = kept.file.offset;
        file.bytes = file.file->least_bytes();
        bytes_ += file.bytes;
      }
      file.kept_in.push_back(number);
      read_open_rows(kept.rows, [&](const RowChange& change, std::int64_t time) {
        if (topic.rows == 0 || change.seq < topic.first_seq) {
          topic.began = time;
          topic.first_seq = change.seq;
        }
        if (topic.rows == 0 || change.seq > topic.last_seq) {
          topic.partition = kept.partition;
          topic.last_seq = change.seq;
        }
        ++topic.rows;
        if (file.rows++ == 0) file.first = change.position;
        file.last = change.position;
        file.file->append(change);
      });
      file.file->take_in();
      file.bytes += kept.rows.size();
      bytes_ += kept.rows.size();
    });
  }
  for (auto& [name, topic] : topics_)
    if (layout_.options().rotate_schedule > 0) topic.schedule = layout_.next_schedule(now_millis());
}

void TopicWriter::write(std::span<const RowChange> changes, const sinks::StateChanges& state) {
  for_each_new(changes, target_, [this](const RowChange& change, const std::shared_ptr<const TableShape>& shape) {
    if (change.operation != RowOperation::kCopied) through_[change.relation->oid.value()] = change.seq;
    const ConnectOptions& options = layout_.options();
    // A record has the row's columns only: of a truncated table it could not tell.
    if (change.operation == RowOperation::kTruncate && !options.metadata) return;
    if (change.operation == RowOperation::kDelete && options.deletes == Deletes::kDrop) return;
    append(change, *change.relation, shape);
  });
  for (auto& [name, topic] : topics_)
    for (auto& [partition, file] : topic.files) file.file->take_in();
  inside_ = inside_ || !changes.empty();
  if (!state.empty()) step(state);
}

void TopicWriter::finish() {
  close_all();
  target_.hand_over(std::exchange(staged_, {}), ends_);
}

bool TopicWriter::complete_before(const Topic& topic, const std::string& partition, std::int64_t time) const {
  const ConnectOptions& options = layout_.options();
  if (topic.rows == 0) return false;
  if (options.rotate_interval > 0 &&
      (time - topic.began >= options.rotate_interval || (options.rotate_on_partition && partition != topic.partition)))
    return true;
  return topic.schedule > 0 && now_millis() >= topic.schedule;
}

TopicWriter::OpenFile& TopicWriter::file_for(const std::string& name, Topic& topic, const std::string& partition,
                                             const std::shared_ptr<const TableShape>& shape) {
  OpenFile* file = &topic.files[partition];
  if (file->file && file->shape != shape) {
    // One that was read back, or that the catalog told of again.
    if (file->shape->is_written_as(*shape)) {
      file->shape = shape;
      return *file;
    }
    // Rows of another version are files of their own.
    close(name, topic);
    file = &topic.files[partition];
  }
  if (file->file) return *file;
  file->shape = shape;
  file->file = target_.file(shape);
  file->offset = topic.next;
  file->bytes = file->file->least_bytes();
  bytes_ += file->bytes;
  return *file;
}

void TopicWriter::append(const RowChange& change, const Relation& relation,
                         const std::shared_ptr<const TableShape>& shape) {
  const std::string name = layout_.topic_of(relation);
  Topic& topic = topics_[name];
  if (topic.rows == 0) topic.next = std::max(topic.next, target_.next_offset(name));
  const std::optional<std::int64_t> time = layout_.time_of(relation, change);
  if (!time) throw DefectError("a change was not refused that has no time");
  const std::string partition = layout_.partition_of(relation, change, *time);
  if (complete_before(topic, partition, *time)) close(name, topic);
  OpenFile& file = file_for(name, topic, partition, shape);
  const ConnectOptions& options = layout_.options();
  if (topic.rows == 0) {
    topic.began = *time;
    if (options.rotate_schedule > 0) topic.schedule = layout_.next_schedule(now_millis());
  }
  file.file->append(change);
  if (file.rows++ == 0) file.first = change.position;
  file.last = change.position;
  const std::size_t unkept = file.unkept.size();
  if (stream_) append_open_row(change, *time, file.unkept);
  const std::size_t size = change.old_row.bytes().size() + change.new_row.bytes().size() + file.file->row_bytes() +
                           file.unkept.size() - unkept;
  file.bytes += size;
  bytes_ += size;
  topic.partition = partition;
  ++topic.next;
  if (++topic.rows >= options.flush_rows) close(name, topic);
  if (bytes_ > most_) close_largest();
}

void TopicWriter::close(const std::string& name, Topic& topic) {
  for (auto& [partition, file] : topic.files) stage(name, partition, file);
  topic.files.clear();
  topic.rows = 0;
  topic.schedule = 0;
}

void TopicWriter::stage(const std::string& name, const std::string& partition, OpenFile& file) {
  bytes_ -= file.bytes;
  if (!file.file) return;
  const LakeSpec& spec = target_.spec();
  // Numbers of copied rows are given to whole files, since a table may be copied by several writers.
  if (!stream_) {
    file.offset = target_.take_offsets(name, file.rows);
    std::uint64_t& end = ends_[name];
    end = std::max(end, file.offset + file.rows);
  }
  const std::string bytes = file.file->finish();
  file.file.reset();
  LakeObject object;
  object.path = layout_.path_of(name, partition, file.offset, spec.form);
  object.table = file.shape->relation().display_name();
  object.first = file.first;
  object.last = file.last;
  object.rows = file.rows;
  object.bytes = bytes.size();
  object.token = store_->stage(object.path, bytes);
  staged_.push_back(std::move(object));
  TAILRACE_CRASH_POINT("lake.object_staged");
}

void TopicWriter::close_largest() {
  const auto largest = std::ranges::max_element(topics_, {}, [](const auto& entry) {
    std::size_t bytes = 0;
    for (const auto& [partition, file] : entry.second.files) bytes += file.bytes;
    return bytes;
  });
  close(largest->first, largest->second);
}

void TopicWriter::close_all() {
  for (auto& [name, topic] : topics_) close(name, topic);
}

void TopicWriter::gather_kept() {
  std::map<OpenFileId, std::string> rows;
  for (const std::uint64_t number : target_.last_step().topics.kept) {
    const std::string bytes = store_->read(open_rows_path(number));
    read_open_files(bytes, [&rows](const KeptRows& kept) { rows[kept.file] += kept.rows; });
  }
  for (auto& [name, topic] : topics_) {
    for (auto& [partition, file] : topic.files) {
      if (file.kept_in.empty()) continue;
      const std::string& kept = rows[{name, file.offset}];
      file.unkept.insert(0, kept);
      file.bytes += kept.size();
      bytes_ += kept.size();
      file.kept_in.clear();
    }
  }
}

void TopicWriter::step(const sinks::StateChanges& state) {
  for (const std::string& name : target_.topics_begun())
    if (const auto topic = topics_.find(name); topic != topics_.end()) close(name, topic->second);
  if (target_.last_step().topics.kept.size() >= bound_or_tested("LAKE_KEPT", kMostKept)) gather_kept();
  TopicStep step;
  std::string files;
  std::set<std::uint64_t> kept;
  const std::uint64_t number = target_.last_step().number + 1;
  for (auto& [name, topic] : topics_) {
    step.next[name] = topic.next;
    for (auto& [partition, file] : topic.files) {
      step.open.push_back({name, file.offset});
      if (!file.unkept.empty()) {
        append_open_file({name, file.offset}, partition, file.shape->relation(), file.unkept, files);
        file.bytes -= file.unkept.size();
        bytes_ -= file.unkept.size();
        file.unkept = {};
        file.kept_in.push_back(number);
      }
      kept.insert(file.kept_in.begin(), file.kept_in.end());
    }
  }
  step.kept.assign(kept.begin(), kept.end());
  if (!files.empty()) store_->write(open_rows_path(number), encode_open_rows(files));
  TAILRACE_CRASH_POINT("lake.rows_kept");
  target_.hand_over(std::exchange(staged_, {}));
  target_.commit(state, std::exchange(through_, {}), std::move(step));
  inside_ = false;
}

bool TopicWriter::wants_maintenance() const {
  if (!stream_ || layout_.options().rotate_schedule <= 0) return false;
  const std::int64_t now = now_millis();
  return std::ranges::any_of(topics_,
                             [now](const auto& at) { return at.second.rows > 0 && now >= at.second.schedule; });
}

void TopicWriter::maintain() {
  // Between the parts of a transaction its rows are nobody's yet.
  if (inside_ || !wants_maintenance()) return;
  const std::int64_t now = now_millis();
  for (auto& [name, topic] : topics_)
    if (topic.rows > 0 && now >= topic.schedule) close(name, topic);
  step({});
}

}  // namespace tailrace::lake
