#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "journal/journal.h"
#include "pipeline/catalog.h"
#include "pipeline/circuit_breaker.h"
#include "pipeline/dead_letters.h"
#include "pipeline/first_copy.h"
#include "pipeline/key_reader.h"
#include "pipeline/letter_order.h"
#include "pipeline/recopy.h"
#include "pipeline/schema_history.h"
#include "pipeline/sink_meter.h"
#include "pipeline/spec.h"
#include "pipeline/status.h"
#include "pipeline/turns.h"

namespace tailrace::pipeline {

/// How a runner behaves; tests make the times short.
struct RunnerSettings {
  journal::BatchLimits batch;
  /// How often Sink::maintain() is called at the latest, and progress without changes written to the target.
  std::chrono::milliseconds maintain_every{200};
  std::chrono::milliseconds progress_every{10'000};
  /// Between two reads of incomplete rows from the source; the time grows up to the second while nothing comes of it.
  std::chrono::milliseconds first_completion{500};
  std::chrono::milliseconds longest_completion{60'000};
};

/// What a runner needs of the pipeline around it. Outlives the runner.
class RunnerHost {
 public:
  virtual ~RunnerHost() = default;
  /// Waits until the source is prepared, so that its identity is known. False when stopped first.
  virtual bool wait_prepared(std::stop_token stop) = 0;
  virtual std::unique_ptr<sinks::Sink> make_sink(const SinkSetup& setup) = 0;
  /// Waits until the source can copy. Null when stopped first. Any thread; see sources::Source::begin_copy.
  virtual std::unique_ptr<sources::Copy> begin_copy(std::stop_token stop,
                                                    const std::vector<sources::TableName>& only) = 0;
  /// Makes the log soon pass what is committed now. Any thread; throws as sources::Source does.
  virtual void nudge() = 0;
  /// See sources::Source::read_keys. Called on another thread of the runner's.
  virtual FencedRows read_keys(const RelationPtr& relation, const std::vector<std::string>& keys,
                               std::stop_token stop) = 0;
  /// Where the log begins: a cursor below it cannot be continued.
  virtual Lsn log_begins() const = 0;
  /// Returns once no trim of the log is under way that began before this call.
  virtual void pass_retention() = 0;
  /// The runner has come further, or its state has changed.
  virtual void sink_moved() = 0;
  /// Whose turn it is to work.
  virtual Turns& turns() = 0;
};

/// Rows of one table that are to be put right.
struct Mending {
  RelationPtr relation;
  /// What they must be at a place of the log; called on the runner's thread.
  std::function<std::vector<sinks::ExpectedRow>(const Position& at)> rows_at;
};

/// An earlier place of the log: the last transaction that ends at or before an LSN, or that committed at or before a
/// time.
struct Rewinding {
  std::optional<Lsn> lsn;
  PgTime time;
};

/// Where the catalog keeps that a sink is paused: "yes" under this key.
std::string pause_key(const std::string& sink);
/// Where it keeps that a sink was let go: the place that its target had.
std::string detach_key(const std::string& sink);

/// Somebody in this process reads a sink's target beside the sink: as long as one lives, the target is not lent. Owned
/// by who reads, on any thread; ends before the runner. Made by SinkRunner::visit().
class TargetVisit {
 public:
  explicit TargetVisit(std::function<void()> end) : end_(std::move(end)) {}
  TargetVisit(TargetVisit&& other) noexcept : end_(std::exchange(other.end_, nullptr)) {}
  TargetVisit& operator=(TargetVisit&&) = delete;
  TargetVisit(const TargetVisit&) = delete;
  TargetVisit& operator=(const TargetVisit&) = delete;
  ~TargetVisit() {
    if (end_) end_();
  }

 private:
  std::function<void()> end_;
};

/// Takes one sink through the log on a thread of its own: opens it, copies what it has not, then applies batch after
/// batch; retries what asks for it, stops at what does not. Owned by the pipeline.
class SinkRunner {
 public:
  SinkRunner(const SinkSetup& setup, RunnerHost& host, journal::Journal& journal, Catalog& catalog,
             const RunnerSettings& settings);
  ~SinkRunner();
  SinkRunner(const SinkRunner&) = delete;
  SinkRunner& operator=(const SinkRunner&) = delete;

  void start();
  /// Apply what is durable in the log now, then end; gives up at `deadline`.
  void drain(SteadyClock::time_point deadline);
  /// Ends at the next step.
  void stop();
  void join();

  SinkStatus status() const;
  /// `status`: of one moment with what is given.
  SinkCounts counts(SinkStatus& status) const;
  CopyBoard& copies() { return copies_; }
  std::vector<sinks::SinkProblem> problems() const;
  const SinkSetup& setup() const { return setup_; }

  /// These tables are copied again beside the stream, one after the other; remembered over restarts.
  void request_copies(const std::vector<CopyRequest>& requests);
  /// A table is being copied, or waits for it, and nothing stands in the way.
  bool recopying() const;
  /// Why the target does not hold everything up to `place`, which it has reached.
  struct Missing {
    std::string what;
    sinks::Lack lack;
  };
  /// Null: it does. `held_too`: tables that are held are not looked at.
  std::optional<Missing> missing(Lsn place, bool held_too) const;

  /// Everything up to here concerns the target no more or is durable in it; epoch 0 = nothing known.
  Position reached() const;
  /// What the log has to keep for this sink; nothing while even the beginning is needed.
  std::optional<Position> needed() const;
  /// Set once the runner has given up for good.
  std::exception_ptr failure() const;
  bool ended() const;

  /// Lets go of the target until give_back(). Returns once it is free and no visit lasts. Throws RetryError TR691 when
  /// it is lent already or not open, TimeoutError TR220 when that does not come in time.
  void lend(std::chrono::milliseconds timeout);
  void give_back();
  /// Throws RetryError TR691 when the target is still lent after `patience`, or `stop` came.
  TargetVisit visit(std::chrono::milliseconds patience, std::stop_token stop);
  /// Lets go of the target and takes nothing more until resumed, also over restarts; the log keeps what it lacks.
  void set_paused(bool paused);
  bool paused() const;
  /// The log keeps nothing more for this sink; its target is made right by a copy once it can be opened, also over
  /// restarts.
  void detach();
  bool detached() const;
  /// Takes the sink back to an earlier place, durable on return, from which it goes on. Throws RefusedError TR694 where
  /// the target cannot be, TimeoutError TR221 when the runner does not come to it in time.
  Cursor rewind(const Rewinding& to, std::chrono::milliseconds timeout);
  /// Has the sink put rows right at its place between two batches, durable on return. Gives how many were wrong. Throws
  /// TimeoutError TR221 when the runner does not come to it in time, and what asking for the rows throws.
  std::uint64_t mend(Mending mending, std::chrono::milliseconds timeout);
  /// Makes dead letters changes again between two batches, with what waits for the same rows; of each row all or none.
  /// Durable on return, and the letters are gone. Throws what sinks::Sink::replay does, BadConfigError TR224 for a
  /// number that is none of this sink's, TimeoutError TR221 when the runner does not come to it in time.
  LettersReplayed replay(LetterOrder order, std::chrono::milliseconds timeout);

 private:
  enum class State {
    kOpening,
    kCopying,
    kStreaming,
    kIdle,
    kReleased,
    kLent,
    kPaused,
    kRetrying,
    kDetached,
    kFailed,
    kStopped
  };
  static const char* name_of(State state);

  void run(std::stop_token stop);
  /// False when stopped first.
  bool open(std::stop_token stop);
  /// The target holds nothing: the log keeps everything until it does.
  void forget_cursor();
  /// The log is there, but not back to the target's cursor.
  [[noreturn]] void refuse_old_target(const Cursor& cursor);
  /// The damaged target out of the way; false when the runner is to end.
  bool set_target_aside(const sinks::DamagedTarget& damage, std::stop_token stop);
  std::optional<Cursor> copy_tables(const sinks::SinkState& state, std::stop_token stop);
  /// See CopyHelp::read_log.
  bool read_log(Lsn until, const std::function<bool(const ChangeBatch& batch)>& see, const std::stop_token& stop);
  /// REQUIRES: mutex_ is held.
  void look_at_sink();
  /// The target was opened. REQUIRES: mutex_ is held.
  void take_all_outcomes();
  void stream(std::stop_token stop);
  void take(const ChangeBatchPtr& batch, std::stop_token stop);
  void apply(const ChangeBatch& batch);
  /// The batch begins an epoch of the log: what was committed before it is missing.
  void cross_gap(const ChangeBatch& batch, std::stop_token stop);
  void flush();
  /// Whether enough was gathered to be flushed, or somebody waits for it.
  bool flush_due() const;
  /// Nothing arrived for a while; false when the runner is to end.
  bool idle(std::stop_token stop);
  /// Has rows that the target lacks read from the source (sink_completion.cc), and puts them in once the log has passed
  /// the read's fence.
  void complete_rows();
  void begin_reading();
  void take_read();
  void put_completed();
  /// The next step of copying a table beside the stream (sink_recopy.cc).
  void recopy_tables(std::stop_token stop);
  void begin_recopy();
  /// What is to be copied now: what was asked for, else what the sink wants. REQUIRES: mutex_ is held.
  std::optional<CopyRequest> next_recopy();
  /// The table was copied, or could not be; the next time that the sink wants it, it waits. REQUIRES: mutex_ is held.
  void note_own_copy(const sources::TableName& table, SteadyClock::duration took);
  void make_place(sinks::SideCopy& side);
  void merge_recopy(sinks::SideCopy& side, std::stop_token stop);
  /// False when it was broken off.
  bool replay_recopy(sinks::SideCopy& side, std::stop_token stop);
  /// The table's copy failed for now, or (`for_good`) is not tried again.
  void recopy_failed(const Error& error, bool for_good);
  void refuse_recopy(sinks::SideCopy& side, const CopyRequest& request, const Error& error);
  /// What is under way is void; requests stay.
  void drop_recopy();
  void forget_request(const CopyRequest& request);
  void load_requests();
  void save_requests() const;
  /// Does what mend() waits for.
  void mend_rows();
  /// Does what replay() waits for; true when the sink is to be opened again.
  bool replay_now();
  LettersReplayed replay_letters(const LetterOrder& order);
  /// Those of the chain that were applied: all but those that are older than what the target has. Throws RefusedError
  /// TR650 when none is left.
  std::vector<KeptLetter> replay_chain(std::vector<KeptLetter> chain, const LetterOrder& order, DeadLetters& shelf);
  void release(State state);
  void serve_pause(std::stop_token stop);
  /// Waits until the target is tried again (sink_detaching.cc).
  void serve_detached(std::stop_token stop);
  /// The target of a sink that was let go is open: true when it is to be opened once more, since what it lacks was
  /// noted there.
  bool attach(const sinks::SinkState& state);
  /// Throws that the target is to be opened again, unless it is attached.
  void attach_failed(const Error& error);
  /// Does what rewind() waits for; true when the sink is to be opened again.
  bool rewind_now(const std::stop_token& stop);
  /// Nothing when stopped first.
  std::optional<Cursor> place_of(const Rewinding& to, const std::stop_token& stop);
  void serve_lend(std::stop_token stop);
  /// False when the runner is to end.
  bool go_on_after(const Error& error, std::stop_token stop);
  /// False when the attempts are used up.
  bool back_off(const Error& error, std::stop_token stop);
  void fail(const std::exception_ptr& failure, const sinks::SinkProblem& problem);
  void store_letters();
  void maintain();
  /// The log is short of space, and what the target needs of it for its own safety holds it back.
  bool holds_the_log_back() const;
  void publish(State state);
  void publish_reached(const Cursor& reached);
  void record(bool even_if_recent);
  bool draining() const;
  bool lend_wanted() const;

  // Constant after construction.
  const SinkSetup& setup_;
  RunnerHost& host_;
  journal::Journal& journal_;
  Catalog& catalog_;
  const RunnerSettings settings_;

  // Of the runner's thread.
  std::unique_ptr<sinks::Sink> sink_;
  std::unique_ptr<journal::Reader> reader_;
  /// Progress that the target does not know of yet.
  ChangeBatchPtr pending_;
  /// Applied, not yet flushed.
  bool unflushed_ = false;
  /// Flushed since the last maintain().
  bool unmaintained_ = false;
  bool released_ = false;
  /// How far this target was last seen to be, in this run or before it.
  std::optional<Position> seen_;
  int set_aside_ = 0;
  SchemaHistory schema_history_;
  KeyReader key_reader_;
  /// Read, and waiting for the log to pass its fence.
  std::optional<FencedRows> completion_;
  Recopy recopy_;
  sources::CopyProgress* recopy_progress_ = nullptr;
  std::chrono::milliseconds recopy_pause_;
  SteadyClock::time_point recopy_began_;
  SteadyClock::time_point next_completion_;
  std::chrono::milliseconds completion_pause_;
  SteadyClock::time_point last_flow_;
  SteadyClock::time_point last_flush_;
  SteadyClock::time_point last_maintain_;
  SteadyClock::time_point last_record_;
  CircuitBreaker breaker_;
  /// Applied up to the end of a transaction and not flushed: since when, and how much.
  std::optional<SteadyClock::time_point> gathering_;
  std::uint64_t gathered_rows_ = 0;
  std::uint64_t gathered_bytes_ = 0;

  // Synchronise themselves.
  CopyBoard copies_;
  SinkMeter meter_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  // Guarded by mutex_.
  State state_ = State::kOpening;
  std::optional<Cursor> durable_;
  std::optional<Position> keeps_from_;
  Position reached_;
  PgTime reached_time_;
  SteadyClock::time_point caught_up_at_;
  sinks::Counters counters_;
  sinks::TableOutcomes outcomes_;
  /// Of these, what the catalog was not told of yet; unset: all of them.
  std::optional<sinks::TableOutcomes> unrecorded_ = sinks::TableOutcomes{};
  std::uint64_t incomplete_ = 0;
  std::optional<Position> first_incomplete_;
  std::uint64_t completed_ = 0;
  std::vector<sinks::SinkProblem> problems_;
  /// What became of damaged targets.
  std::vector<sinks::SinkProblem> notices_;
  std::string last_error_;
  std::uint64_t batches_ = 0;
  CircuitBreaker::State breaker_state_ = CircuitBreaker::State::kClosed;
  std::exception_ptr failure_;
  /// Asked for, the first being next or under way.
  std::vector<CopyRequest> copy_requests_;
  /// Wanted by the sink itself.
  std::vector<sources::TableName> uncopied_;
  /// How often a table was copied lately, and not before when it is again because the sink wants it.
  struct OwnCopies {
    int times = 0;
    SteadyClock::time_point next;
  };
  std::map<sources::TableName, OwnCopies> own_copies_;
  SteadyClock::time_point next_recopy_;
  /// Since a table was copied.
  int recopy_failures_ = 0;
  /// The log is kept from here on for the copy under way.
  std::optional<Position> recopy_from_;
  std::optional<sinks::SinkProblem> recopy_problem_;
  /// What is to be mended, and what came of it.
  std::optional<Mending> mending_;
  bool paused_ = false;
  /// Let go: where the target was.
  std::optional<Position> detached_at_;
  /// The target is open again, and the log is kept for it from its place on.
  bool attaching_ = false;
  int times_detached_ = 0;
  SteadyClock::time_point next_attach_;
  std::optional<Rewinding> rewinding_;
  std::optional<Cursor> rewound_;
  std::exception_ptr rewinding_failure_;
  std::optional<std::uint64_t> mended_;
  std::exception_ptr mending_failure_;
  std::optional<LetterOrder> letter_order_;
  std::optional<LettersReplayed> letters_replayed_;
  std::exception_ptr replay_failure_;
  bool lend_wanted_ = false;
  unsigned visits_ = 0;
  std::optional<SteadyClock::time_point> drain_until_;

  std::jthread thread_;
};

}  // namespace tailrace::pipeline
