#include "pipeline/sink_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/crash_point.h"
#include "base/lack_of_memory.h"
#include "base/log.h"
#include "rules/row_rules.h"

namespace tailrace::pipeline {
namespace {

using std::chrono::milliseconds;

/// How long one look into the log waits; bounds how late a runner sees a request.
constexpr milliseconds kLook{50};
/// Upkeep waits until nothing has flowed for so long.
constexpr milliseconds kQuiet{300};
constexpr milliseconds kRecordEvery{1000};

/// Drops copies that were read before the log began: what changed in between stands in neither.
void drop_outdated(std::vector<CopiedTable>& copied, Lsn log_begins) {
  std::erase_if(copied, [log_begins](const CopiedTable& table) {
    if (table.fence.end >= log_begins) return false;
    log::info("copy.outdated", "{}: copied at {}, but the log begins at {}", table.relation->display_name(),
              table.fence.end.str(), log_begins.str());
    return true;
  });
}

RunnerSettings fitting(RunnerSettings settings, const SinkSetup& setup) {
  if (setup.most_changes > 0) settings.batch.max_changes = std::min(settings.batch.max_changes, setup.most_changes);
  return settings;
}

}  // namespace

SinkRunner::SinkRunner(const SinkSetup& setup, RunnerHost& host, journal::Journal& journal, Catalog& catalog,
                       const RunnerSettings& settings)
    : setup_(setup),
      host_(host),
      journal_(journal),
      catalog_(catalog),
      settings_(fitting(settings, setup)),
      schema_history_(catalog),
      key_reader_([this](const sinks::IncompleteRows& rows, std::stop_token stop) {
        return host_.read_keys(rows.relation, rows.keys, std::move(stop));
      }),
      recopy_([this](std::stop_token stop, const sources::TableName& table) {
        auto copy = host_.begin_copy(std::move(stop), {table});
        host_.nudge();
        return copy;
      }),
      recopy_pause_(settings.first_completion),
      completion_pause_(settings.first_completion),
      breaker_(setup.delivery.retry),
      copies_(setup.name) {
  last_flow_ = last_flush_ = last_maintain_ = last_record_ = caught_up_at_ = SteadyClock::now();
  for (const SinkRecord& record : catalog.sinks()) {
    if (record.name != setup.name || !record.cursor) continue;
    if (record.display == setup.display) seen_ = record.cursor->position;
    // Good for keeping the log, not for saying what the target holds: it may have been replaced meanwhile.
    durable_ = record.cursor;
    counters_ = record.counters;
    outcomes_ = catalog.outcomes(setup.name);
  }
  paused_ = catalog.text(pause_key(setup.name)) == "yes";
  detached_at_ = Position::parse(catalog.text(detach_key(setup.name)));
  load_requests();
}

SinkRunner::~SinkRunner() { stop(); }

void SinkRunner::start() {
  thread_ = std::jthread([this](std::stop_token stop) { run(std::move(stop)); });
}

void SinkRunner::drain(SteadyClock::time_point deadline) {
  const std::lock_guard lock(mutex_);
  drain_until_ = deadline;
  // What waits for somebody else, or takes as long as it takes, is not worth waiting for.
  if (state_ != State::kStreaming && state_ != State::kIdle && state_ != State::kReleased) thread_.request_stop();
  changed_.notify_all();
}

void SinkRunner::stop() {
  thread_.request_stop();
  changed_.notify_all();
}

void SinkRunner::join() {
  if (thread_.joinable()) thread_.join();
}

void SinkRunner::run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    try {
      if (paused()) serve_pause(stop);
      if (detached()) serve_detached(stop);
      if (draining() || stop.stop_requested()) break;
      if (paused()) continue;
      if (open(stop)) stream(stop);
      if (!detached()) break;
    } catch (const RetryError& error) {
      if (!go_on_after(error, stop)) break;
    } catch (const ReconnectError& error) {
      if (!go_on_after(error, stop)) break;
    } catch (const sinks::DamagedTarget& damage) {
      if (!set_target_aside(damage, stop)) break;
    } catch (const CorruptionError& error) {
      // A log that was trimmed under its reader.
      if (detached() && error.code() == "TR405") continue;
      fail(std::current_exception(), {error.code(), setup_.name, error.what(), error.remedy()});
      break;
    } catch (const Error& error) {
      fail(std::current_exception(), {error.code(), setup_.name, error.what(), error.remedy()});
      break;
    } catch (const std::exception& error) {
      if (is_lack_of_memory(error) && back_off(lack_of_memory(), stop)) continue;
      if (is_lack_of_memory(error)) break;
      const DefectError defect(error.what());
      fail(std::make_exception_ptr(defect), {defect.code(), setup_.name, defect.what(), defect.remedy()});
      break;
    }
    if (draining()) break;
  }
  key_reader_.drop();
  drop_recopy();
  reader_.reset();
  sink_.reset();
  const std::lock_guard lock(mutex_);
  if (state_ != State::kFailed) state_ = State::kStopped;
  changed_.notify_all();
  host_.sink_moved();
}

bool SinkRunner::open(std::stop_token stop) {
  publish(State::kOpening);
  reader_.reset();
  pending_.reset();
  key_reader_.drop();
  completion_.reset();
  drop_recopy();
  meter_.rolled_back();
  unflushed_ = false;
  gathering_.reset();
  if (!host_.wait_prepared(stop)) return false;
  if (!sink_) sink_ = host_.make_sink(setup_);
  sinks::SinkState state = sink_->open();
  TAILRACE_CRASH_POINT("sink_opened");
  if (detached() && attach(state)) state = sink_->open();
  if (!state.cursor && !state.resume) {
    drop_outdated(state.copied, host_.log_begins());
    std::erase_if(state.partial, [this](const auto& table) { return table.fence.end < host_.log_begins(); });
  }
  std::vector<std::string> copied;
  for (const CopiedTable& table : state.copied) copied.push_back(table.relation->display_name());
  catalog_.remove_letters_above(setup_.name, state.cursor ? state.cursor : state.resume, copied);
  std::optional<Cursor> cursor = state.cursor;
  if (!cursor) {
    forget_cursor();
    cursor = copy_tables(state, stop);
  }
  if (!cursor) return false;
  if (cursor->position.commit_end < host_.log_begins() || cursor->position < journal_.start().position) {
    refuse_old_target(*cursor);
  }
  if (const Position log_end = journal_.stat().durable.position; cursor->position > log_end) {
    throw RefusedError("TR692",
                       fmt::format("the target {} is at {}, beyond the log's end {}", setup_.display,
                                   cursor->position.str(), log_end.str()),
                       "it was filled from another log: move the target away and start again for a new copy");
  }
  {
    const std::lock_guard lock(mutex_);
    durable_ = cursor;
    take_all_outcomes();
    look_at_sink();
    last_error_.clear();
    state_ = State::kStreaming;
    reached_ = cursor->position;
    reached_time_ = cursor->commit_time;
  }
  host_.sink_moved();
  seen_ = cursor->position;
  reader_ = journal_.reader(cursor);
  released_ = false;
  last_flow_ = last_flush_ = SteadyClock::now();
  record(true);
  log::info("sink.opened", "{}: goes on at {}", setup_.name, cursor->position.str());
  return true;
}

void SinkRunner::look_at_sink() {
  problems_ = sink_->problems();
  incomplete_ = sink_->incomplete_rows();
  first_incomplete_ = incomplete_ > 0 ? sink_->first_incomplete() : std::nullopt;
  keeps_from_ = sink_->keeps_from();
  uncopied_.clear();
  if (sinks::SideCopy* side = problems_.empty() ? nullptr : sink_->side_copy()) uncopied_ = side->wanted();
}

void SinkRunner::forget_cursor() {
  {
    const std::lock_guard lock(mutex_);
    durable_.reset();
    reached_ = {};
  }
  // Else the log might be trimmed up to it at the next start, before the target was looked at.
  record(true);
}

std::optional<Cursor> SinkRunner::copy_tables(const sinks::SinkState& state, std::stop_token stop) {
  publish(State::kCopying);
  if (draining()) return std::nullopt;
  const std::unique_ptr<sources::Copy> copy = host_.begin_copy(stop, {});
  const CopyHelp help{[this] { store_letters(); },
                      [this, &stop](Lsn until, const auto& see) { return read_log(until, see, stop); }};
  if (!copy || !copy_missing_tables(*copy, *sink_, state, copies_, help, stop)) return std::nullopt;
  const std::uint32_t epoch = journal_.stat().durable.position.epoch;
  for (const sources::TableToCopy& table : copy->tables())
    schema_history_.see(table.relation, {epoch, copy->fence().end, 0}, copy->fence().taken_at);
  // Nothing is trimmed while a sink has no cursor, so what lies below the log's first unit was logged before the copy
  // began, and is in it.
  Cursor start = state.resume.value_or(journal_.start());
  if (!state.resume && start.position.commit_end < host_.log_begins()) {
    // A later epoch may have begun meanwhile, and the log is followed from its beginning.
    start.position.commit_end = host_.log_begins();
  }
  sink_->finish_copies(start);
  TAILRACE_CRASH_POINT("copies_finished");
  log::info("copy.done", "{}: {} tables", setup_.name, copy->tables().size());
  return start;
}

bool SinkRunner::read_log(Lsn until, const std::function<bool(const ChangeBatch& batch)>& see,
                          const std::stop_token& stop) {
  // A log that is full does not get there before the copy is done and the sink takes from it.
  constexpr std::uint64_t kPatienceMillis = 30'000;
  const auto deadline = SteadyClock::now() + milliseconds(bound_or_tested("COPY_RESUME_MS", kPatienceMillis));
  host_.nudge();
  while (journal_.stat().durable.position.commit_end < until) {
    if (stop.stop_requested() || draining() || SteadyClock::now() >= deadline) return false;
    std::this_thread::sleep_for(kLook);
  }
  const std::unique_ptr<journal::Reader> reader = journal_.reader(std::nullopt);
  while (!stop.stop_requested() && !draining()) {
    const ChangeBatchPtr batch = reader->next(settings_.batch, stop, kLook);
    if (!batch) continue;
    if (!see(*batch)) return false;
    if (batch->ends_transaction() && batch->end.position.commit_end >= until) return true;
  }
  return false;
}

void SinkRunner::stream(std::stop_token stop) {
  while (!stop.stop_requested() && !detached()) {
    if (gathering_ && flush_due()) flush();
    if (lend_wanted() && !unflushed_) {
      serve_lend(stop);
      if (stop.stop_requested() || !open(stop)) return;
    }
    if (rewind_now(stop) && !open(stop)) return;
    if (replay_now() && !open(stop)) return;
    if (paused() && !unflushed_) {
      serve_pause(stop);
      if (stop.stop_requested() || draining() || !open(stop)) return;
    }
    const ChangeBatchPtr batch = reader_->next(settings_.batch, stop, draining() ? milliseconds(0) : kLook);
    if (batch) {
      take(batch, stop);
    } else if (!idle(stop)) {
      return;
    }
    complete_rows();
    recopy_tables(stop);
    mend_rows();
    const std::lock_guard lock(mutex_);
    if (drain_until_ && SteadyClock::now() >= *drain_until_) {
      log::warn("sink.drain", "{}: not everything could be applied in time; the log keeps it", setup_.name);
      return;
    }
  }
}

void SinkRunner::take(const ChangeBatchPtr& batch, std::stop_token stop) {
  const auto now = SteadyClock::now();
  if (batch->end.position.epoch > reached().epoch) return cross_gap(*batch, std::move(stop));
  if (batch->empty()) {
    pending_ = batch;
    // What was gathered before it is not at the target yet.
    if (!unflushed_) publish_reached(batch->end);
    if (!released_ && now - last_flush_ >= settings_.progress_every) apply(*batch);
    return;
  }
  if (released_) {
    // The new reader gives this batch again.
    open(stop);
    return;
  }
  publish(State::kStreaming);
  {
    const Turns::Turn turn = host_.turns().take(journal_.stat().durable.seq);
    apply(*batch);
  }
  last_flow_ = SteadyClock::now();
  log::debug("sink.batch", "{}: {} changes applied in {} us", setup_.name, batch->changes.size(),
             std::chrono::duration_cast<std::chrono::microseconds>(last_flow_ - now).count());
  if (!unflushed_ && last_flow_ - last_maintain_ >= settings_.maintain_every) maintain();
}

void SinkRunner::apply(const ChangeBatch& batch) {
  schema_history_.see(batch);
  const auto begun = SteadyClock::now();
  sink_->apply(batch);
  meter_.applied(batch, SteadyClock::now() - begun);
  unflushed_ = true;
  TAILRACE_CRASH_POINT("batch_applied");
  store_letters();
  if (!batch.ends_transaction()) return;
  if (!gathering_) {
    gathering_ = SteadyClock::now();
    gathered_rows_ = gathered_bytes_ = 0;
  }
  gathered_rows_ += batch.changes.size();
  gathered_bytes_ += batch.bytes;
  if (flush_due()) flush();
}

bool SinkRunner::flush_due() const {
  const Gathering& rules = setup_.delivery.gather;
  if (gathered_rows_ >= rules.rows || gathered_bytes_ >= rules.bytes) return true;
  if (SteadyClock::now() - *gathering_ >= rules.wait) return true;
  const std::lock_guard lock(mutex_);
  return lend_wanted_ || mending_ || paused_ || rewinding_ || letter_order_ || drain_until_;
}

void SinkRunner::store_letters() {
  const std::vector<sinks::DeadLetter> letters = sink_->take_dead_letters();
  if (letters.empty()) return;
  catalog_.store_letters(setup_.name, letters);
  TAILRACE_CRASH_POINT("letters_stored");
  // Copied rows are no changes.
  meter_.found_invalid(static_cast<std::uint64_t>(std::ranges::count_if(letters, [](const sinks::DeadLetter& letter) {
    return letter.operation != "copy" && letter.reason.starts_with(rules::kReasonBegins);
  })));
  log::warn("sink.dead_letters", "{}: {} changes that the target does not get", setup_.name, letters.size());
}

void SinkRunner::flush() {
  const auto begun = SteadyClock::now();
  sink_->write_out();
  store_letters();
  const Cursor cursor = sink_->flush();
  meter_.flushed(SteadyClock::now() - begun, cursor.commit_time);
  seen_ = cursor.position;
  TAILRACE_CRASH_POINT("batch_flushed");
  unflushed_ = false;
  gathering_.reset();
  unmaintained_ = true;
  breaker_.succeeded();
  const ChangeBatchPtr progress = std::exchange(pending_, nullptr);
  last_flush_ = SteadyClock::now();
  {
    const std::lock_guard lock(mutex_);
    durable_ = cursor;
    counters_ = sink_->counters();
    for (auto& [table, counts] : sink_->take_outcomes()) {
      outcomes_[table] = counts;
      if (unrecorded_) unrecorded_->insert_or_assign(table, counts);
    }
    look_at_sink();
    breaker_state_ = breaker_.state();
    ++batches_;
  }
  publish_reached(progress && progress->end.position > cursor.position ? progress->end : cursor);
  record(false);
}

bool SinkRunner::idle(std::stop_token stop) {
  const auto now = SteadyClock::now();
  {
    const std::lock_guard lock(mutex_);
    caught_up_at_ = now;
  }
  if (stop.stop_requested()) return false;
  if (draining()) {
    if (gathering_) flush();
    if (pending_ && !released_) apply(*pending_);
    record(true);
    drop_recopy();
    // A run that was never quiet is to leave its target as safe as a quiet one.
    if (!released_ && !unflushed_) maintain();
    return false;
  }
  if (released_ || unflushed_) return true;
  publish(State::kIdle);
  breaker_.succeeded();
  const bool unmaintained = unmaintained_ && now - last_flow_ >= kQuiet;
  if (unmaintained || sink_->wants_maintenance() || holds_the_log_back()) maintain();
  const bool busy = completion_ || key_reader_.busy() || recopy_.request();
  if (setup_.release_when_idle && !busy && now - last_flow_ >= *setup_.release_when_idle) release(State::kReleased);
  return true;
}

bool SinkRunner::holds_the_log_back() const {
  {
    const std::lock_guard lock(mutex_);
    if (!keeps_from_ || !durable_ || *keeps_from_ >= durable_->position) return false;
  }
  return journal_.stat().short_of_space;
}

void SinkRunner::maintain() {
  if (holds_the_log_back()) sink_->hurry();
  sink_->maintain();
  {
    const std::lock_guard lock(mutex_);
    keeps_from_ = sink_->keeps_from();
  }
  unmaintained_ = false;
  last_maintain_ = SteadyClock::now();
}

void SinkRunner::release(State state) {
  drop_recopy();
  if (!released_) sink_->release();
  released_ = true;
  log::info("sink.released", "{}: {} is free for others", setup_.name, setup_.display);
  publish(state);
}

void SinkRunner::record(bool even_if_recent) {
  const auto now = SteadyClock::now();
  if (!even_if_recent && now - last_record_ < kRecordEvery) return;
  last_record_ = now;
  SinkRecord record{.name = setup_.name, .kind = setup_.kind, .display = setup_.display};
  {
    const std::lock_guard lock(mutex_);
    record.cursor = durable_;
    record.counters = counters_;
    record.all_outcomes = !unrecorded_;
    record.outcomes = unrecorded_ ? std::exchange(*unrecorded_, {}) : outcomes_;
    unrecorded_.emplace();
  }
  catalog_.record_sink(record);
}

void SinkRunner::publish(State state) {
  const std::lock_guard lock(mutex_);
  if (state_ == state) return;
  state_ = state;
  changed_.notify_all();
  host_.sink_moved();
}

void SinkRunner::publish_reached(const Cursor& reached) {
  {
    const std::lock_guard lock(mutex_);
    reached_ = reached.position;
    reached_time_ = reached.commit_time;
  }
  host_.sink_moved();
}

bool SinkRunner::draining() const {
  const std::lock_guard lock(mutex_);
  return drain_until_.has_value();
}

bool SinkRunner::lend_wanted() const {
  const std::lock_guard lock(mutex_);
  return lend_wanted_;
}

std::exception_ptr SinkRunner::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

bool SinkRunner::ended() const {
  const std::lock_guard lock(mutex_);
  return state_ == State::kFailed || state_ == State::kStopped;
}

}  // namespace tailrace::pipeline
