#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "journal/journal.h"
#include "pipeline/catalog.h"
#include "pipeline/metrics.h"
#include "pipeline/sink_runner.h"
#include "pipeline/spec.h"
#include "pipeline/state_directory.h"
#include "pipeline/status.h"

namespace tailrace::pipeline {

/// How a pipeline is run; tests make the times short.
struct RunOptions {
  /// End once everything committed at the start is durable in every sink (in the log, where there is no sink).
  bool until_caught_up = false;
  /// See sources::Source::accept_gap.
  bool accept_gap = false;
  /// How long draining may take after a stop request.
  std::chrono::milliseconds drain_limit{20'000};
  RunnerSettings runner;
};

/// A running pipeline: one source thread, one runner per sink, and the log between them. Owns its state directory.
/// Made and run by one thread; status(), wait() and the like may be called from any other meanwhile.
class Pipeline final : private RunnerHost {
 public:
  /// Takes the state directory, opens catalog and journal. Throws BadConfigError (in use, newer, unusable) and
  /// CorruptionError.
  Pipeline(PipelineSpec spec, const RunOptions& options);
  ~Pipeline() override;
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Runs until stopped, then drains; or until caught up. Throws what made it end before: the source's refusal, a
  /// damaged log, or the failure of the last sink that lived. `tick` is called several times a second.
  void run(std::stop_token stop, const std::function<void()>& tick);

  /// Whether the source was ever prepared, and so slot and publication are made.
  bool prepared() const;
  PipelineStatus status() const;
  PipelineMetrics metrics() const;
  const PipelineSpec& spec() const { return spec_; }
  const StatePaths& paths() const { return directory_.paths(); }

  /// What is waited for.
  struct WaitOrder {
    /// Nothing: everything committed at the source by now.
    std::optional<Lsn> lsn;
    /// Empty: every one.
    std::string sink;
    std::chrono::milliseconds timeout;
    /// kReached: all of it was applied, or kept back with its row or table. kRows: nor does any row lack a value.
    /// kEverything: nor is a table held, or copied again because it was.
    enum class Until : std::uint8_t { kReached, kRows, kEverything } until = Until::kEverything;
  };
  /// Returns once the sinks hold all of that durably and visibly. Throws AnswerIsNo TR229 when a table is held that
  /// nothing will mend by itself, TimeoutError TR221, BadConfigError TR513 for an unknown sink, and a failed sink's
  /// error.
  Lsn wait(const WaitOrder& order, std::stop_token stop);

  /// Has these tables (`schema.table`, without a schema of `public`) copied again beside the stream, for every sink or
  /// for `sink` alone. Throws BadConfigError TR513 for an unknown sink.
  void copy_again(const std::vector<std::string>& tables, const std::string& where, const std::string& sink);

  /// Has every table that the source publishes now copied again for this sink. Throws as copy_again() and the source
  /// do.
  void copy_everything_again(const std::string& sink, std::stop_token stop);

  /// See SinkRunner::set_paused; `sink` empty: every sink. Throws BadConfigError TR513 for an unknown one.
  void set_paused(const std::string& sink, bool paused);
  /// See SinkRunner::rewind.
  Cursor rewind(const std::string& sink, const Rewinding& to, std::chrono::milliseconds timeout);
  /// See SinkRunner::replay. Throws BadConfigError TR513 for an unknown sink.
  LettersReplayed replay(const std::string& sink, LetterOrder order, std::chrono::milliseconds timeout);

  /// See SinkRunner::lend. `sink` empty: the only one that can be lent. Gives what was lent.
  const SinkSetup& lend(const std::string& sink, std::chrono::milliseconds timeout);
  void give_back(const std::string& sink);

  /// See SinkRunner::visit.
  TargetVisit visit(const std::string& sink, std::chrono::milliseconds patience, std::stop_token stop);
  /// See SinkRunner::mend.
  std::uint64_t mend(const std::string& sink, Mending mending, std::chrono::milliseconds timeout);
  /// What a comparison found to differ last, for status(); replaces what it found before.
  void note_differences(const std::string& sink, std::vector<Problem> differences);
  /// The source's end now, after a nudge that makes the stream soon pass it.
  Lsn request_source_end() { return source_->request_current_end(); }
  /// For looking at it; what belongs to the source thread is not to be called.
  journal::Journal& log() { return *journal_; }
  Catalog& catalog() { return *catalog_; }
  /// The only sink that answers SQL, or the one named. Throws BadConfigError TR513.
  const SinkSetup& queryable(const std::string& sink) const;

 private:
  bool wait_prepared(std::stop_token stop) override;
  Turns& turns() override { return turns_; }
  std::unique_ptr<sinks::Sink> make_sink(const SinkSetup& setup) override;
  std::unique_ptr<sources::Copy> begin_copy(std::stop_token stop, const std::vector<sources::TableName>& only) override;
  void nudge() override;
  FencedRows read_keys(const RelationPtr& relation, const std::vector<std::string>& keys,
                       std::stop_token stop) override;
  Lsn log_begins() const override;
  void pass_retention() override;
  void sink_moved() override;

  void attach_sinks();
  /// Before anything is made at the source: a target that cannot be used is better known first.
  void check_targets() const;
  void run_source(std::stop_token stop);
  void prepare_source(std::stop_token stop);
  void release_unused_snapshot(std::stop_token stop);
  void look_after(std::stop_token stop, const std::function<void()>& tick);
  void keep_house();
  void update_retention();
  /// The log is full, and on_full says that the sink that holds back most of it is let go.
  void detach_slowest();
  void remember_status();
  bool caught_up();
  void drain();
  void throw_failures();
  bool sinks_ended() const;
  bool reached(Lsn target, const std::string& sink) const;
  std::optional<SinkRunner::Missing> missing(Lsn place, const std::string& sink, bool held_too) const;
  SinkRunner& runner(const std::string& sink) const;
  std::string overall_state(const PipelineStatus& status) const;

  // Constant after construction.
  const PgTime started_ = PgTime::now();
  const PipelineSpec spec_;
  const RunOptions options_;
  const MemorySplit memory_;
  Turns turns_;
  StateDirectory directory_;
  /// Sinks that the configuration no longer names.
  std::vector<Problem> detached_;

  // Synchronise themselves.
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<sources::Source> source_;
  std::vector<std::unique_ptr<SinkRunner>> runners_;
  std::mutex copy_mutex_;
  std::mutex retention_mutex_;

  // Of the running thread.
  SteadyClock::time_point last_retention_;
  /// Since when the log has been full without a pause.
  std::optional<SteadyClock::time_point> full_since_;
  SteadyClock::time_point last_remembered_;
  std::optional<Lsn> target_;

  mutable std::mutex mutex_;
  mutable std::condition_variable_any changed_;
  // Guarded by mutex_.
  bool prepared_ = false;
  bool copyable_ = false;
  Lsn log_begins_;
  bool source_ended_ = false;
  std::exception_ptr source_failure_;
  std::string source_error_;
  mutable SteadyClock::time_point source_caught_up_at_;
  bool stopping_ = false;
  /// By sink.
  std::map<std::string, std::vector<Problem>> differences_;
  /// The sink that holds back the log and cannot be let go.
  std::string holds_the_log_;

  std::jthread source_thread_;
};

}  // namespace tailrace::pipeline
