#include "sinks/lake/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/crash_point.h"
#include "base/error.h"
#include "sinks/lake/object_names.h"

namespace tailrace::lake {
namespace {

constexpr std::string_view kState = "_state/";
constexpr std::string_view kDone = ".done";

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
  return last_;
}

void Ledger::settle() {
  if (!done_) work_off();
  clear_older();
  store_->drop_staged();
}

void Ledger::commit(CommitRecord record) {
  if (!done_) throw DefectError("a step of the lake is made before the one before it is done");
  record.number = last_.number + 1;
  TAILRACE_CRASH_POINT("lake.before_commit");
  if (!store_->create(record_path(record.number), encode(record))) overtaken();
  last_ = std::move(record);
  done_ = !last_.has_work();
  TAILRACE_CRASH_POINT("lake.committed");
  clear_older();
  if (!done_) work_off();
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
  store_->write(record_path(last_.number) + std::string(kDone), "");
  done_ = true;
  TAILRACE_CRASH_POINT("lake.published");
}

void Ledger::clear_older() {
  const std::string ours = record_path(last_.number);
  for (const std::string& path : store_->list(std::string(kState))) {
    if (path.starts_with(ours)) continue;
    if (path > ours) overtaken();
    store_->remove(path);
  }
}

}  // namespace tailrace::lake
