#include "sinks/lake/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "base/crash_point.h"
#include "base/error.h"
#include "sinks/lake/object_names.h"

namespace tailrace::lake {
namespace {

constexpr std::string_view kState = "_state/";
constexpr std::string_view kDone = ".done";
/// Records that say what changed, before there is a whole one again.
constexpr std::uint64_t kMostChanges = 64;
/// States that are smaller are written whole: one record to read is better than many.
constexpr std::size_t kSmallState = 16U << 10;

std::string record_path(std::uint64_t number) { return fmt::format("{}{:016x}", kState, number); }
std::string manifest_path(std::uint64_t number) { return fmt::format("_manifest/{:016x}.json", number); }

[[noreturn]] void overtaken() {
  throw RetryError("TR855", "somebody else writes into this lake with our name",
                   "see that only one process runs this pipeline; the lake is opened again");
}

}  // namespace

const CommitRecord& Ledger::open() {
  last_ = {};
  done_ = true;
  const std::vector<std::string> there = store_->list(std::string(kState));
  for (auto at = there.rbegin(); at != there.rend(); ++at) {
    if (at->ends_with(kDone)) continue;
    last_ = decode(store_->read(*at));
    done_ = !last_.has_work() || std::ranges::find(there, *at + std::string(kDone)) != there.end();
    break;
  }
  // The next record is whole, whatever this one is.
  whole_bytes_ = changed_bytes_ = 0;
  if (last_.base != last_.number) put_together(there);
  return last_;
}

void Ledger::put_together(const std::vector<std::string>& paths) {
  sinks::StateMap state;
  for (std::uint64_t number = last_.base; number <= last_.number; ++number) {
    const std::string path = record_path(number);
    if (std::ranges::find(paths, path) == paths.end())
      throw CorruptionError("TR854", fmt::format("{} is gone from the lake, on which later records build", path),
                            "bring back the lake's `_state` folder, or give the pipeline a lake of its own");
    CommitRecord record = decode(store_->read(path));
    if (number == last_.base) {
      state = std::move(record.state);
    } else {
      apply_changes(record.changes, state);
    }
  }
  last_.state = std::move(state);
}

bool Ledger::takes_changes(const CommitRecord& record) {
  for (const auto& [key, value] : record.changes) changed_bytes_ += key.size() + (value ? value->size() : 0);
  return whole_bytes_ > kSmallState && changed_bytes_ < whole_bytes_ / 2 && record.number - last_.base < kMostChanges;
}

void Ledger::settle() {
  if (!done_) work_off();
  clear_older();
  drop_kept(store_->list("_open/"));
  store_->drop_staged();
}

void Ledger::drop_kept(const std::vector<std::string>& paths) {
  std::set<std::string> kept;
  for (const std::uint64_t number : last_.topics.kept) kept.insert(open_rows_path(number));
  for (const std::string& path : paths)
    if (!kept.contains(path)) store_->remove(path);
}

void Ledger::commit(CommitRecord record) {
  if (!done_) throw DefectError("a step of the lake is made before the one before it is done");
  record.number = last_.number + 1;
  const bool whole = !takes_changes(record);
  record.base = whole ? record.number : last_.base;
  if (whole) {
    record.state = last_.state;
    apply_changes(record.changes, record.state);
  }
  TAILRACE_CRASH_POINT("lake.before_commit");
  if (!store_->create(record_path(record.number), encode(record))) overtaken();
  if (whole) {
    whole_bytes_ = changed_bytes_ = 0;
    for (const auto& [key, value] : record.state) whole_bytes_ += key.size() + value.size();
  } else {
    record.state = std::move(last_.state);
    apply_changes(record.changes, record.state);
  }
  std::vector<std::string> kept_before;
  for (const std::uint64_t number : last_.topics.kept) kept_before.push_back(open_rows_path(number));
  last_ = std::move(record);
  done_ = !last_.has_work();
  TAILRACE_CRASH_POINT("lake.committed");
  clear_older();
  if (!done_) work_off();
  drop_kept(kept_before);
}

void Ledger::work_off() {
  for (const std::string& folder : last_.emptied)
    for (const std::string& path : store_->list(folder))
      if (is_object(path)) store_->remove(path);
  for (const LakeObject& object : last_.objects) {
    if (!store_->publish(object.path, object.token))
      throw RefusedError(
          "TR856", fmt::format("{}, which was staged, is gone from the lake", object.path),
          "was `_staged`, or the list of unfinished uploads, cleared by somebody? Empty the lake with its "
          "`_state` folder and let Tailrace copy the tables again");
    TAILRACE_CRASH_POINT("lake.object_published");
  }
  store_->write(manifest_path(last_.number), manifest_of(last_));
  // A reader of manifests that finds one of these gone finds in the manifest where its rows are.
  for (const std::string& path : last_.replaced) {
    store_->remove(path);
    TAILRACE_CRASH_POINT("lake.replaced_removed");
  }
  store_->write(record_path(last_.number) + std::string(kDone), "");
  done_ = true;
  TAILRACE_CRASH_POINT("lake.published");
}

void Ledger::clear_older() {
  const std::string ours = record_path(last_.number);
  const std::string base = record_path(last_.base);
  for (const std::string& path : store_->list(std::string(kState))) {
    if (path.starts_with(ours)) continue;
    if (path > ours) overtaken();
    if (path >= base) continue;
    store_->remove(path);
  }
}

}  // namespace tailrace::lake
