// How a sink's runner has tables copied beside the stream (docs/copy-and-fence.md, "A table is copied again").

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/crash_point.h"
#include "base/log.h"
#include "pipeline/sink_runner.h"

namespace tailrace::pipeline {
namespace {

using std::chrono::milliseconds;
using Json = nlohmann::json;

constexpr milliseconds kLookAtLog{50};
/// What fails now and then mends itself.
constexpr int kToldFrom = 3;
/// A table that was copied so often without being asked for keeps nobody waiting any more.
constexpr int kOftenFrom = 4;
/// The pause between two such copies of a table grows up to the first one times two to this power.
constexpr int kDoublings = 12;
constexpr std::chrono::minutes kForgotten{10};

std::string shown(const CopyRequest& request) {
  return request.table.first + "." + request.table.second + (request.where.empty() ? "" : " (in part)");
}

}  // namespace

void SinkRunner::load_requests() {
  const Json saved = Json::parse(catalog_.text("copies/" + setup_.name), nullptr, false);
  if (!saved.is_array()) return;
  for (const Json& one : saved)
    copy_requests_.push_back({{one.at(0), one.at(1)}, one.size() > 2 ? one.at(2).get<std::string>() : ""});
}

void SinkRunner::save_requests() const {
  Json saved = Json::array();
  for (const CopyRequest& one : copy_requests_) saved.push_back({one.table.first, one.table.second, one.where});
  catalog_.set_text("copies/" + setup_.name, saved.dump());
}

void SinkRunner::request_copies(const std::vector<CopyRequest>& requests) {
  const std::lock_guard lock(mutex_);
  for (const CopyRequest& request : requests)
    if (std::ranges::find(copy_requests_, request) == copy_requests_.end()) copy_requests_.push_back(request);
  save_requests();
  recopy_problem_.reset();
  next_recopy_ = {};
}

void SinkRunner::forget_request(const CopyRequest& request) {
  const std::lock_guard lock(mutex_);
  if (std::erase(copy_requests_, request) > 0) save_requests();
}

bool SinkRunner::recopying() const {
  const std::lock_guard lock(mutex_);
  const auto first_times = [this](const sources::TableName& table) {
    const auto before = own_copies_.find(table);
    return before == own_copies_.end() || before->second.times < kOftenFrom;
  };
  if (recopy_from_ || (!recopy_problem_ && !copy_requests_.empty())) return true;
  // One that cannot be copied does not stand in the way of the others.
  return recopy_failures_ < kToldFrom && std::ranges::any_of(uncopied_, first_times);
}

std::optional<CopyRequest> SinkRunner::next_recopy() {
  const auto now = SteadyClock::now();
  if (now < next_recopy_) return std::nullopt;
  if (!copy_requests_.empty()) return copy_requests_.front();
  // A table that is held again and again does not keep the others waiting, nor the source busy.
  const auto due = [&](const sources::TableName& table) {
    const auto before = own_copies_.find(table);
    return before == own_copies_.end() || before->second.next <= now;
  };
  const auto found = std::ranges::find_if(uncopied_, due);
  if (found == uncopied_.end()) return std::nullopt;
  return CopyRequest{*found};
}

void SinkRunner::cross_gap(const ChangeBatch& batch, std::stop_token stop) {
  // The new reader gives this batch again.
  if (released_) {
    open(std::move(stop));
    return;
  }
  // The target is to have all of the epoch that ends here.
  if (pending_) apply(*pending_);
  if (unflushed_) flush();
  // What was read of the source before lacks what is missing here, or may.
  key_reader_.drop();
  completion_.reset();
  if (recopy_.request()) {
    drop_recopy();
    sink_->side_copy()->drop();
  }
  sink_->begin_epoch(batch.end);
  unflushed_ = true;
  TAILRACE_CRASH_POINT("epoch_begun");
  {
    const std::lock_guard lock(mutex_);
    own_copies_.clear();
    recopy_problem_.reset();
    next_recopy_ = {};
  }
  const Lsn before = reached().commit_end;
  flush();
  log::warn("sink.gap", "{}: what was committed from {} to {} is missing; the tables are copied again", setup_.name,
            before.str(), batch.end.position.commit_end.str());
  TAILRACE_CRASH_POINT("epoch_flushed");
  if (sink_->side_copy() == nullptr)
    throw RetryError("TR805", "all tables are copied anew, since changes of them are missing", "none needed");
}

void SinkRunner::note_own_copy(const sources::TableName& table, SteadyClock::duration took) {
  const auto now = SteadyClock::now();
  OwnCopies& before = own_copies_[table];
  if (now > before.next + kForgotten) before.times = 0;
  ++before.times;
  const auto pause = settings_.first_completion * (1U << std::min(before.times - 1, kDoublings));
  before.next = now + std::max<SteadyClock::duration>(pause, took * before.times);
}

void SinkRunner::recopy_tables(std::stop_token stop) {
  if (released_ || unflushed_ || draining()) return;
  Recopy::Step step = Recopy::Step::kNone;
  const std::optional<CopyRequest> request = recopy_.request();
  try {
    step = recopy_.look();
  } catch (const RetryError& error) {
    recopy_failed(error, false);
  } catch (const ReconnectError& error) {
    recopy_failed(error, false);
  } catch (const RefusedError& error) {
    recopy_failed(error, false);
  } catch (const BadConfigError& error) {
    // Of the condition.
    recopy_failed(error, true);
    if (request) forget_request(*request);
  }
  switch (step) {
    case Recopy::Step::kNone:
      if (request) sink_->side_copy()->drop();
      return begin_recopy();
    case Recopy::Step::kAtWork: return;
    case Recopy::Step::kSnapshot: return make_place(*sink_->side_copy());
    case Recopy::Step::kRead:
      if (reached().commit_end >= recopy_.copied().fence.end) merge_recopy(*sink_->side_copy(), std::move(stop));
  }
}

void SinkRunner::begin_recopy() {
  std::optional<CopyRequest> next;
  {
    const std::lock_guard lock(mutex_);
    next = next_recopy();
  }
  if (!next) return;
  const CopyRequest request = *next;
  if (sink_->side_copy() == nullptr && request.where.empty() && sink_->copy_anew(request.table)) {
    forget_request(request);
    throw RetryError("TR805", fmt::format("{} is copied anew", shown(request)), "none needed");
  }
  if (sink_->side_copy() == nullptr) {
    const BadConfigError error("TR641", fmt::format("{} cannot copy {}", setup_.name, shown(request)),
                               "name a table that it has, without a condition");
    recopy_failed(error, true);
    return forget_request(request);
  }
  const Cursor from = journal_.stat().durable;
  {
    const std::lock_guard lock(mutex_);
    recopy_from_ = from.position;
  }
  log::info("copy.again", "{}: {} is copied beside the stream from {} on", setup_.name, shown(request),
            from.position.str());
  recopy_began_ = SteadyClock::now();
  recopy_.begin(request, from);
}

void SinkRunner::make_place(sinks::SideCopy& side) {
  const CopyRequest request = *recopy_.request();
  const sources::TableToCopy* found = recopy_.found();
  try {
    if (found == nullptr) {
      throw RefusedError("TR641", fmt::format("{} cannot be copied: it is not there, or not published", shown(request)),
                         "see that the table exists, that the pipeline wants it, and that it is in the publication");
    }
    sinks::SidePlace place = side.begin(found->relation, request.where);
    copies_.forget(found->relation->display_name());
    recopy_progress_ = &copies_.add(found->relation->display_name(), found->estimated_rows, found->pages);
    TAILRACE_CRASH_POINT("recopy_placed");
    recopy_.read(std::move(place), *recopy_progress_);
  } catch (const RefusedError& error) {
    refuse_recopy(side, request, error);
  } catch (const BadConfigError& error) {
    refuse_recopy(side, request, error);
  }
}

void SinkRunner::refuse_recopy(sinks::SideCopy& side, const CopyRequest& request, const Error& error) {
  drop_recopy();
  side.drop();
  recopy_failed(error, true);
  forget_request(request);
  const std::lock_guard lock(mutex_);
  note_own_copy(request.table, SteadyClock::now() - recopy_began_);
}

bool SinkRunner::replay_recopy(sinks::SideCopy& side, std::stop_token stop) {
  Position until;
  {
    const std::lock_guard lock(mutex_);
    until = durable_->position;
  }
  const std::unique_ptr<journal::Reader> reader = journal_.reader(recopy_.from());
  for (Position at = recopy_.from().position; at < until;) {
    const ChangeBatchPtr batch = reader->next(settings_.batch, stop, kLookAtLog);
    if (stop.stop_requested() || draining()) return false;
    if (!batch) continue;
    side.replay(*batch, until);
    if (batch->ends_transaction()) at = batch->end.position;
  }
  return true;
}

void SinkRunner::merge_recopy(sinks::SideCopy& side, std::stop_token stop) {
  // The cursor then is past the fence in the target, too.
  if (pending_) apply(*pending_);
  const CopyRequest request = *recopy_.request();
  side.loaded(recopy_.copied());
  TAILRACE_CRASH_POINT("recopy_loaded");
  if (!replay_recopy(side, std::move(stop))) return drop_recopy();
  TAILRACE_CRASH_POINT("recopy_replayed");
  store_letters();
  side.merge();
  TAILRACE_CRASH_POINT("recopy_merged");
  copies_.finish(*recopy_progress_);
  log::info("copy.merged", "{}: {} is as the source has it: {} rows", setup_.name, shown(request),
            recopy_.copied().rows);
  forget_request(request);
  drop_recopy();
  recopy_pause_ = settings_.first_completion;
  unmaintained_ = true;
  {
    const std::lock_guard lock(mutex_);
    recopy_failures_ = 0;
    recopy_problem_.reset();
    note_own_copy(request.table, SteadyClock::now() - recopy_began_);
    look_at_sink();
  }
  host_.sink_moved();
}

void SinkRunner::recopy_failed(const Error& error, bool for_good) {
  log::warn("copy.failed", "{}: {} [{}]", setup_.name, error.what(), error.code());
  const std::lock_guard lock(mutex_);
  recopy_from_.reset();
  next_recopy_ = SteadyClock::now() + recopy_pause_;
  recopy_pause_ = std::min(recopy_pause_ * 2, settings_.longest_completion);
  if (!for_good && ++recopy_failures_ < kToldFrom) return;
  recopy_problem_ = {error.code(), setup_.name, std::string("a table's copy beside the stream failed: ") + error.what(),
                     error.remedy()};
  if (!for_good) recopy_problem_->remedy += "; it is tried again";
}

void SinkRunner::drop_recopy() {
  recopy_.drop();
  recopy_progress_ = nullptr;
  const std::lock_guard lock(mutex_);
  recopy_from_.reset();
}

}  // namespace tailrace::pipeline
