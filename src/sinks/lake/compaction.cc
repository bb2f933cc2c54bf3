#include "sinks/lake/compaction.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>
#include <span>
#include <string_view>
#include <utility>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/lack_of_memory.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "sinks/lake/object_names.h"
#include "sinks/lake/parquet_file.h"

namespace tailrace::lake {
namespace {

/// What the merge of one group needs to know, by value: it runs beside the sink.
struct Work {
  LakeSpec spec;
  std::string name;
  /// With the objects that are to be merged only.
  SmallGroup group;
  std::shared_ptr<vectors::ParquetEngine> engine;
};

UniqueFd in_memory(const std::string& bytes) {
  UniqueFd file(::memfd_create("object", MFD_CLOEXEC));
  if (!file) throw RetryError("TR853", "there is no memory for a file", "give the machine more memory");
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(file.get(), bytes.data() + done, bytes.size() - done);
    if (n <= 0) throw RetryError("TR853", "there is no memory for a file", "give the machine more memory");
    done += static_cast<std::size_t>(n);
  }
  return file;
}

std::string merged_parquet(Store& store, const Work& work) {
  std::vector<UniqueFd> files;
  std::vector<int> descriptors;
  for (const SmallObject& object : work.group.objects) {
    files.push_back(in_memory(store.read(object.path)));
    descriptors.push_back(files.back().get());
  }
  const UniqueFd file =
      work.engine->merged(descriptors, work.group.key, {"_seq", "_ordinal"}, work.spec.form.parquet_codec());
  return read_back(file.get());
}

std::string joined_lines(Store& store, const Work& work) {
  std::string all;
  for (const SmallObject& object : work.group.objects) {
    const std::string bytes = store.read(object.path);
    // Of CSV each has the same header, which may hold line breaks inside quotes.
    const std::size_t header = work.spec.form.format == Format::kCsv && !all.empty() ? csv_header_size(bytes) : 0;
    all.append(bytes, header);
  }
  return all;
}

Merged merge(const Work& work) {
  const std::unique_ptr<Store> store = work.spec.store();
  const std::vector<SmallObject>& objects = work.group.objects;
  const std::string bytes =
      work.spec.form.format == Format::kParquet ? merged_parquet(*store, work) : joined_lines(*store, work);
  Merged merged;
  merged.group = work.name;
  for (const SmallObject& object : objects) {
    merged.replaced.push_back(object.path);
    merged.object.rows += object.rows;
    merged.bytes += object.bytes;
  }
  merged.level = objects.front().level + 1;
  merged.object.first = objects.front().first;
  merged.object.last = objects.back().last;
  merged.object.path = work.name + range_name(merged.object.first, merged.object.last) + work.spec.form.ending();
  merged.object.table = work.group.table;
  merged.object.bytes = bytes.size();
  merged.object.token = store->stage(merged.object.path, bytes);
  TAILRACE_CRASH_POINT("lake.merge_staged");
  return merged;
}

}  // namespace

std::size_t csv_header_size(std::string_view bytes) {
  bool quoted = false;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    if (bytes[at] == '"') quoted = !quoted;
    if (bytes[at] == '\n' && !quoted) return at + 1;
  }
  return bytes.size();
}

bool Compactor::has_something(const SmallObjects& small) const {
  if (spec_.compact_files == 0) return false;
  if (merge_.valid()) return merge_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  return std::ranges::any_of(small, [this](const auto& at) { return !at.second.run(spec_.compact_files).empty(); });
}

void Compactor::start(const SmallObjects& small, const std::shared_ptr<vectors::ParquetEngine>& engine) {
  if (spec_.compact_files == 0 || merge_.valid()) return;
  for (const auto& [name, group] : small) {
    const std::span<const SmallObject> run = group.run(spec_.compact_files);
    if (run.empty()) continue;
    Work work{spec_, name, {group.table, group.version, group.key, {run.begin(), run.end()}}, engine};
    group_ = name;
    merge_ = std::async(std::launch::async, [work = std::move(work)] { return merge(work); });
    return;
  }
}

Compactor::~Compactor() {
  try {
    drop();
  } catch (const std::bad_alloc&) {
    // No room is left to say so, and none is needed to go on: what is staged goes when the lake is opened again.
    merge_ = {};
  }
}

void Compactor::tell(const char* reason) const {
  log::info("lake.not_merged", "{}: files of {} stay small: {}", spec_.display(), group_, reason);
}

void Compactor::drop() {
  if (!merge_.valid()) return;
  try {
    const Merged merged = merge_.get();
    spec_.store()->drop(merged.object.path, merged.object.token);
  } catch (const std::exception& error) {
    // Nobody waits for this merge, so that nothing it may end in stops anything: not even a lack of memory.
    tell(is_lack_of_memory(error) ? lack_of_memory().what() : error.what());
  }
}

std::optional<Merged> Compactor::take() {
  if (!merge_.valid() || merge_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return std::nullopt;
  return merge_.get();
}

}  // namespace tailrace::lake
