#include "pipeline/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/crash_point.h"
#include "base/lack_of_memory.h"
#include "base/log.h"
#include "pipeline/plan.h"

namespace tailrace::pipeline {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTick{100};
/// How late it is seen that everything wanted has arrived.
constexpr milliseconds kLookForEnd{5};
constexpr milliseconds kRetentionEvery{1000};
constexpr milliseconds kRememberEvery{5000};
constexpr milliseconds kPrepareRetry{2000};
constexpr const char* kLogBegins = "log_begins";
/// How far the log was last seen to be durable. What PostgreSQL was told is never beyond it for long, and the slot's
/// own place is compared when the source connects.
constexpr const char* kLogDurable = "log_durable";

}  // namespace

Pipeline::Pipeline(PipelineSpec spec, const RunOptions& options)
    : spec_(std::move(spec)),
      options_(options),
      memory_(split_memory(spec_.memory, spec_.sinks.size())),
      turns_(std::max(1U, std::thread::hardware_concurrency() - 1)),
      directory_(spec_.state),
      catalog_(std::make_unique<Catalog>(directory_.paths().catalog(), Catalog::Access::kWrite)) {
  attach_sinks();
  catalog_->set_text("name", spec_.name);
  catalog_->set_text("source", spec_.source.display);
  catalog_->set_text("slot", spec_.source.slot);
  catalog_->set_text("publication", spec_.source.publication);

  journal::Options log;
  log.directory = directory_.paths().journal();
  log.spill_directory = directory_.paths().spill();
  log.max_bytes = spec_.log.max_size;
  log.segment_bytes = bound_or_tested("SEGMENT_BYTES", log.segment_bytes);
  log.ring_bytes = bound_or_tested("RING_BYTES", memory_.ring);
  log.spill_memory = bound_or_tested("SPILL_BYTES", memory_.spills);
  for (const SinkRecord& sink : catalog_->sinks()) {
    if (!sink.cursor) continue;
    log.known_durable = std::max(log.known_durable.value_or(Position{}), sink.cursor->position);
    log.seq_floor = std::max(log.seq_floor, sink.cursor->seq);
  }
  if (const auto durable = Position::parse(catalog_->text(kLogDurable)))
    log.known_durable = std::max(log.known_durable.value_or(Position{}), *durable);
  journal_ = journal::Journal::open(log);
  if (const std::string begins = catalog_->text(kLogBegins); !begins.empty()) {
    log_begins_ = Lsn::parse(begins).value_or(Lsn());
    prepared_ = true;
  }
  source_ = spec_.source.make(*catalog_, *journal_);
  if (options_.accept_gap) source_->accept_gap();
  if (!prepared_) check_targets();

  RunnerSettings runner = options_.runner;
  runner.batch.max_bytes = memory_.batch;
  runner.batch.max_changes = bound_or_tested("BATCH_CHANGES", runner.batch.max_changes);
  for (const SinkSetup& sink : spec_.sinks) {
    RunnerHost& host = *this;
    runners_.push_back(std::make_unique<SinkRunner>(sink, host, *journal_, *catalog_, runner));
  }
  last_retention_ = last_remembered_ = source_caught_up_at_ = SteadyClock::now();
}

void Pipeline::attach_sinks() {
  const SinkChanges changes = catalog_->attach_sinks(named_sinks(spec_));
  for (const auto& [from, to] : changes.renamed)
    log::info("sink.renamed", "{} is called {} now; its cursor and dead letters go with it", from, to);
  for (const SinkRecord& sink : changes.detached) {
    detached_.push_back({"TR521",
                         fmt::format("{} ({}) is no longer a sink of this pipeline; {} dead letters of it are kept",
                                     sink.name, sink.display, sink.dead_letters),
                         "name it again to go on with it while the log reaches back to it; `tailrace drop` forgets it "
                         "with the pipeline"});
    log::warn("sink.detached", "{}", detached_.back().what);
  }
}

void Pipeline::check_targets() const {
  for (const SinkSetup& sink : spec_.sinks) {
    if (!sink.check) continue;
    try {
      sink.check({.pipeline = spec_.name, .source_id = "", .tables = {}});
    } catch (const RetryError& error) {
      log::info("sink.busy", "{}: {}", sink.name, error.what());  // the runner waits for it
    }
  }
}

Pipeline::~Pipeline() {
  source_thread_.request_stop();
  for (const auto& runner : runners_) runner->stop();
}

void Pipeline::run(std::stop_token stop, const std::function<void()>& tick) {
  source_thread_ = std::jthread([this](std::stop_token source_stop) { run_source(std::move(source_stop)); });
  for (const auto& runner : runners_) runner->start();
  look_after(stop, tick);
  drain();
  throw_failures();
}

void Pipeline::run_source(std::stop_token stop) {
  std::exception_ptr failure;
  std::string text;
  const auto failed = [&](const Error& error) {
    failure = std::current_exception();
    text = fmt::format("{} {}", error.code(), error.what());
  };
  try {
    prepare_source(stop);
    if (!stop.stop_requested()) {
      release_unused_snapshot(stop);
      source_->stream(stop);
    }
  } catch (const RetryError& error) {
    // What a stop broke off would be tried again: that is no failure.
    if (!stop.stop_requested()) failed(error);
  } catch (const Error& error) {
    failed(error);
  } catch (const std::exception& error) {
    // Not waited for, since the log may be in the middle of something: the next start goes on from what is durable.
    failure = is_lack_of_memory(error) ? std::make_exception_ptr(lack_of_memory())
                                       : std::make_exception_ptr(DefectError(error.what()));
    text = error.what();
  }
  // Whoever runs the pipeline shows the failure itself.
  if (failure) log::info("source.failed", "{}", text);
  const std::lock_guard lock(mutex_);
  source_failure_ = failure;
  source_error_ = text;
  source_ended_ = true;
  changed_.notify_all();
}

void Pipeline::prepare_source(std::stop_token stop) {
  const auto try_later = [&](const Error& error) {
    log::warn("source.retry", "{}", error.what());
    std::unique_lock lock(mutex_);
    source_error_ = fmt::format("{} {}", error.code(), error.what());
    changed_.wait_for(lock, stop, kPrepareRetry, [] { return false; });
  };
  while (!stop.stop_requested()) {
    try {
      source_->prepare(stop);
      break;
    } catch (const ReconnectError& error) {
      try_later(error);
    } catch (const RetryError& error) {
      // A database that was never reached is more likely named wrongly than down.
      if (!catalog_->load_facts()) throw;
      try_later(error);
    }
  }
  if (stop.stop_requested()) return;
  Lsn begins;
  {
    const std::lock_guard lock(mutex_);
    begins = prepared_ ? log_begins_ : journal_->end().commit_end;
  }
  catalog_->set_text(kLogBegins, begins.str());
  const std::lock_guard lock(mutex_);
  log_begins_ = begins;
  prepared_ = true;
  copyable_ = true;
  source_error_.clear();
  changed_.notify_all();
}

void Pipeline::release_unused_snapshot(std::stop_token stop) {
  if (!runners_.empty()) return;
  // Without a sink nobody copies; the slot's snapshot would hold back the source's vacuum for nothing.
  const std::lock_guard lock(copy_mutex_);
  source_->begin_copy(stop, {});
}

bool Pipeline::wait_prepared(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  return changed_.wait(lock, stop, [this] { return prepared_; });
}

std::unique_ptr<sinks::Sink> Pipeline::make_sink(const SinkSetup& setup) {
  return setup.make({.pipeline = spec_.name,
                     .source_id = catalog_->source_id(),
                     .memory = memory_.sink,
                     .known = goes_on(catalog_->sinks(), setup),
                     .wanted = spec_.source.wanted,
                     .rules = spec_.rules,
                     .apply_later = setup.delivery.later == LaterChanges::kApply,
                     .state = std::make_shared<CatalogState>(*catalog_, setup.name)});
}

std::unique_ptr<sources::Copy> Pipeline::begin_copy(std::stop_token stop, const std::vector<sources::TableName>& only) {
  {
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [this] { return copyable_; })) return nullptr;
  }
  const std::lock_guard lock(copy_mutex_);
  if (stop.stop_requested()) return nullptr;
  return source_->begin_copy(stop, only);
}

void Pipeline::nudge() { source_->request_current_end(); }

FencedRows Pipeline::read_keys(const RelationPtr& relation, const std::vector<std::string>& keys,
                               std::stop_token stop) {
  return source_->read_keys(relation, keys, std::move(stop));
}

bool Pipeline::prepared() const {
  const std::lock_guard lock(mutex_);
  return prepared_;
}

Lsn Pipeline::log_begins() const {
  const std::lock_guard lock(mutex_);
  return log_begins_;
}

void Pipeline::sink_moved() {
  const std::lock_guard lock(mutex_);
  changed_.notify_all();
}

void Pipeline::look_after(std::stop_token stop, const std::function<void()>& tick) {
  auto next_tick = SteadyClock::now();
  while (!stop.stop_requested()) {
    const bool ticks = SteadyClock::now() >= next_tick;
    if (ticks) {
      tick();
      keep_house();
      next_tick = SteadyClock::now() + kTick;
    }
    if (sinks_ended()) return;
    if (options_.until_caught_up && (target_ || ticks) && caught_up()) return;
    std::unique_lock lock(mutex_);
    if (source_ended_) return;
    changed_.wait_for(lock, stop, target_ ? kLookForEnd : kTick, [this] { return source_ended_; });
  }
}

void Pipeline::keep_house() {
  try {
    update_retention();
    remember_status();
  } catch (const RetryError& error) {
    log::warn("pipeline.retry", "{}", error.what());
  }
}

void Pipeline::update_retention() {
  const auto now = SteadyClock::now();
  if (now - last_retention_ < kRetentionEvery) return;
  last_retention_ = now;
  const std::lock_guard passing(retention_mutex_);
  Position oldest = journal_->stat().durable.position;
  for (const auto& runner : runners_) {
    const std::optional<Position> needed = runner->needed();
    if (!needed) return;
    oldest = std::min(oldest, *needed);
  }
  const auto keep = std::chrono::duration_cast<std::chrono::seconds>(spec_.log.keep).count();
  journal_->set_retention(oldest,
                          std::chrono::seconds(bound_or_tested("KEEP_SECONDS", static_cast<std::uint64_t>(keep))));
  if (spec_.log.on_full == OnFull::kDetach) detach_slowest();
}

void Pipeline::pass_retention() { const std::lock_guard passed(retention_mutex_); }

void Pipeline::detach_slowest() {
  // A sink that works has this long to make room.
  constexpr std::uint64_t kGraceMillis = 10'000;
  // Fewer are not kept for a sink: one is written, and one may lie ahead.
  constexpr std::uint64_t kSegmentsOfItsOwn = 2;
  const auto now = SteadyClock::now();
  const journal::JournalStat log = journal_->stat();
  if (!log.short_of_space || log.segments <= kSegmentsOfItsOwn) {
    full_since_.reset();
    const std::lock_guard lock(mutex_);
    holds_the_log_.clear();
    return;
  }
  if (!full_since_) full_since_ = now;
  if (now - *full_since_ < milliseconds(bound_or_tested("DETACH_MS", kGraceMillis))) return;
  SinkRunner* slowest = nullptr;
  Position oldest = log.durable.position;
  for (const auto& runner : runners_) {
    const Position needed = runner->needed().value_or(log.durable.position);
    if (needed >= oldest) continue;
    oldest = needed;
    slowest = runner.get();
  }
  if (slowest == nullptr) return;
  const SinkSetup& setup = slowest->setup();
  if (!setup.backfills || setup.backfills()) {
    slowest->detach();
    full_since_.reset();
    return;
  }
  const std::lock_guard lock(mutex_);
  holds_the_log_ = setup.name;
}

void Pipeline::remember_status() {
  const auto now = SteadyClock::now();
  if (now - last_remembered_ < kRememberEvery) return;
  last_remembered_ = now;
  const Position durable = journal_->stat().durable.position;
  const PipelineMetrics now_known = metrics();
  const auto text = [](const nlohmann::ordered_json& document) {
    return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  if (durable.commit_end.valid()) catalog_->set_text(kLogDurable, durable.str());
  catalog_->set_text("status", text(to_json(now_known.status)));
  catalog_->set_text("metrics", text(to_json(now_known)));
}

bool Pipeline::caught_up() {
  if (!target_) {
    {
      const std::lock_guard lock(mutex_);
      if (!copyable_) return false;
    }
    try {
      target_ = source_->request_current_end();
    } catch (const RetryError& error) {
      log::warn("source.retry", "{}", error.what());
      return false;
    } catch (const ReconnectError& error) {
      log::warn("source.retry", "{}", error.what());
      return false;
    }
  }
  for (const auto& one : runners_)
    if (one->paused())
      throw RefusedError("TR695", fmt::format("sink {} is paused and will not catch up", one->setup().name),
                         fmt::format("let it go on: tailrace resume {} --sink {}", spec_.name, one->setup().name));
  return reached(*target_, "") && !missing(*target_, "", true) &&
         std::none_of(runners_.begin(), runners_.end(), [](const auto& runner) { return runner->recopying(); });
}

bool Pipeline::reached(Lsn target, const std::string& sink) const {
  if (runners_.empty()) return journal_->stat().durable.position.commit_end >= target;
  return std::all_of(runners_.begin(), runners_.end(), [&](const auto& runner) {
    if (!sink.empty() && runner->setup().name != sink) return true;
    return runner->reached().commit_end >= target;
  });
}

std::optional<SinkRunner::Missing> Pipeline::missing(Lsn place, const std::string& sink, bool held_too) const {
  std::optional<SinkRunner::Missing> found;
  for (const auto& runner : runners_) {
    if (!sink.empty() && runner->setup().name != sink) continue;
    auto one = runner->missing(place, held_too);
    if (one && (!found || one->lack == sinks::Lack::kUntilDecided)) found = std::move(one);
  }
  return found;
}

void Pipeline::drain() {
  const auto limit = static_cast<std::uint64_t>(options_.drain_limit.count());
  const auto deadline = SteadyClock::now() + milliseconds(bound_or_tested("DRAIN_MS", limit));
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  source_thread_.request_stop();
  source_thread_.join();
  for (const auto& runner : runners_) runner->drain(deadline);
  for (const auto& runner : runners_) runner->join();
  last_retention_ = last_remembered_ = {};
  keep_house();
}

void Pipeline::throw_failures() {
  {
    const std::lock_guard lock(mutex_);
    if (source_failure_) std::rethrow_exception(source_failure_);
  }
  if (!runners_.empty() &&
      std::all_of(runners_.begin(), runners_.end(), [](const auto& runner) { return runner->failure() != nullptr; })) {
    std::rethrow_exception(runners_.front()->failure());
  }
}

bool Pipeline::sinks_ended() const {
  return !runners_.empty() &&
         std::all_of(runners_.begin(), runners_.end(), [](const auto& runner) { return runner->ended(); });
}

PipelineStatus Pipeline::status() const {
  PipelineStatus status;
  status.name = spec_.name;
  status.source = source_->status();
  const journal::JournalStat log = journal_->stat();
  status.log_durable = log.durable.position.commit_end;
  status.log_oldest = log.start.position.commit_end;
  status.log_bytes = log.bytes;
  double share = 0;
  for (const auto& runner : runners_) {
    status.sinks.push_back(runner->status());
    for (const CopyStatus& table : runner->copies().look()) {
      ++status.snapshot.tables_total;
      status.snapshot.tables_done += table.done ? 1U : 0U;
      status.snapshot.rows += table.rows;
      share += table.fraction;
      status.snapshot.tables.push_back(table);
    }
    for (const sinks::SinkProblem& problem : runner->problems()) {
      status.problems.push_back({problem.code, problem.table + ": " + problem.what, problem.remedy});
    }
  }
  const auto total = static_cast<double>(status.snapshot.tables_total);
  status.snapshot.percent = status.snapshot.tables_total == 0 ? 100 : 100 * share / total;
  status.problems.insert(status.problems.end(), detached_.begin(), detached_.end());
  for (const sources::SourceProblem& problem : status.source.problems) {
    status.problems.push_back({problem.code, problem.what, problem.remedy});
  }
  status.state = overall_state(status);
  const std::lock_guard lock(mutex_);
  if (!holds_the_log_.empty())
    status.problems.push_back(
        {"TR231",
         fmt::format("the log is full, and sink {}, which holds it back, tells of every change: it "
                     "cannot be let go, and nothing more is received",
                     holds_the_log_),
         "see that its target can be reached and keeps pace, take the sink out of the pipeline, "
         "or raise log.journal.max_size"});
  for (const auto& [sink, differences] : differences_)
    status.problems.insert(status.problems.end(), differences.begin(), differences.end());
  const auto now = SteadyClock::now();
  if (status.source.lag_bytes == 0) source_caught_up_at_ = now;
  // Between two looks it may have caught up unseen: it is no further behind than the last commit that came.
  const std::chrono::duration<double> behind = now - source_caught_up_at_;
  const double age = static_cast<double>(PgTime::now().micros() - status.source.last_commit_time.micros()) / 1e6;
  status.source_lag_seconds = status.source.lag_bytes == 0 ? 0 : std::clamp(age, 0.0, behind.count());
  return status;
}

PipelineMetrics Pipeline::metrics() const {
  PipelineMetrics metrics{.status = status(), .since = started_, .taken_at = PgTime::now(), .sinks = {}};
  for (std::size_t i = 0; i < runners_.size(); ++i)
    metrics.sinks.push_back(runners_[i]->counts(metrics.status.sinks[i]));
  return metrics;
}

std::string Pipeline::overall_state(const PipelineStatus& status) const {
  const auto any = [&status](const char* state) {
    return std::any_of(status.sinks.begin(), status.sinks.end(),
                       [state](const SinkStatus& sink) { return sink.state == state; });
  };
  {
    const std::lock_guard lock(mutex_);
    if (source_failure_) return "failed";
    if (stopping_ && source_ended_) return "stopped";
    if (!prepared_) return "snapshotting";
  }
  if (any("failed")) return "failed";
  const bool copies =
      std::any_of(runners_.begin(), runners_.end(), [](const auto& runner) { return !runner->needed(); });
  return copies ? "snapshotting" : "streaming";
}

}  // namespace tailrace::pipeline
