#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/transaction_log.h"
#include "pipeline/circuit_breaker.h"
#include "pipeline/fact_store.h"
#include "rules/row_rules.h"
#include "sinks/comparison.h"
#include "sinks/local_state.h"
#include "sinks/sink.h"
#include "sources/comparison.h"
#include "sources/finding.h"
#include "sources/source.h"

namespace tailrace::pipeline {

/// A rule of the configuration over tables.
using TableRule = std::function<bool(std::string_view schema, std::string_view table)>;

/// The source of a pipeline, ready to be made. Knows no target: the composition root fills it.
struct SourceSetup {
  std::string kind;
  /// How it is reached, without secrets: for people, and for the catalog.
  std::string display;
  std::string slot;
  std::string publication;
  std::function<std::unique_ptr<sources::Source>(FactStore& facts, TransactionLog& log)> make = {};
  /// Looks whether the source can be followed; makes nothing. Null = nothing to tell. `slot_is_ours`: the state knows
  /// the slot, so that its existence is no obstacle.
  std::function<sources::SourceCheck(bool slot_is_ours)> check = {};
  /// The source's side of a comparison, from any thread; `stop` ends what it is doing. Null = it cannot be compared.
  std::function<std::unique_ptr<sources::Comparison>(std::stop_token stop)> compare = {};
  /// Whether the configuration wants a table; its changes may arrive all the same, where somebody else made the
  /// publication. Null = all. Any thread.
  TableRule wanted = {};
  /// Removes at the source what was made there for the pipeline, as far as `facts` know it to be the pipeline's.
  std::function<void(FactStore& facts, bool slot, bool publication)> drop = {};
};

/// What a sink is given by the pipeline it belongs to.
struct SinkRoom {
  std::string pipeline;
  /// Which database the changes come from, as the source's facts name it.
  std::string source_id;
  /// What the sink and its libraries may use, in bytes.
  std::uint64_t memory = 0;
  /// The pipeline was seen to have a cursor in this target.
  bool known = false;
  /// Changes of other tables are counted as filtered. Null = all are wanted.
  TableRule wanted = {};
  /// What rows have to fulfil; null: nothing.
  std::shared_ptr<const rules::RowRules> rules = {};
  /// Later changes of a row with a dead letter are applied.
  bool apply_later = false;
  /// For a sink whose target keeps no state.
  std::shared_ptr<sinks::LocalState> state = {};
};

enum class QueryFormat { kTable, kCsv, kJson, kJsonLines, kParquet };

/// A question to a target.
struct QueryRequest {
  std::string sql;
  /// History as of a time (ISO notation, UTC unless it says otherwise) or an LSN; empty: now.
  std::string as_of;
  QueryFormat format = QueryFormat::kTable;
};

/// Where a query's answer goes, piece by piece. Throws when nobody listens any more; the query then ends.
using QueryOutput = std::function<void(std::string_view text)>;

/// What is known when a target is looked at beforehand.
struct TargetToCheck {
  std::string pipeline;
  /// Empty while the source was never prepared.
  std::string source_id;
  /// What would be written, as far as the source was asked.
  std::vector<sources::TableName> tables;
};

/// What was put in the place of a target.
struct Restored {
  Cursor cursor;
  /// For people.
  std::string what;
  /// Under which name the former target is kept; empty when there was none.
  std::string kept;
};

/// How much is gathered before it is made durable: the first bound that is reached counts. What arrives while the
/// target is busy is one batch anyway; waiting for more is for targets that want few large ones.
struct Gathering {
  std::uint64_t rows = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t bytes = std::numeric_limits<std::uint64_t>::max();
  std::chrono::milliseconds wait{0};
};

/// What becomes of later changes of a row with a dead letter: they are dead letters, too, or are applied.
enum class LaterChanges : std::uint8_t { kHold, kApply };

/// How a sink's changes are handed to its target, whatever kind that is.
struct Delivery {
  Gathering gather;
  RetryRules retry;
  LaterChanges later = LaterChanges::kHold;
};

/// One sink of a pipeline, ready to be made.
struct SinkSetup {
  std::string name;
  std::string kind;
  /// For people: the path, or the address without secrets.
  std::string display;
  /// Let go of the target when nothing flowed for so long.
  std::optional<std::chrono::milliseconds> release_when_idle = {};
  Delivery delivery = {};
  /// It takes so many changes at a time at most, since each of them takes its time; 0: as many as the runner does.
  std::uint64_t most_changes = 0;
  std::function<std::unique_ptr<sinks::Sink>(const SinkRoom& room)> make = {};
  /// Whether a copy makes the target right when it lacks changes; not where it tells of every one. Null: it does.
  std::function<bool()> backfills = {};
  /// Throws what opening the target would, as far as that can be told without writing to it, RetryError when somebody
  /// holds it; else says in what state the target is. Null = nothing to tell.
  std::function<std::string(const TargetToCheck& target)> check = {};
  /// Answers a question about the target from any thread of this process, beside the sink or without one, unless
  /// stopped. Null where the target has no SQL.
  std::function<void(const QueryRequest& request, const QueryOutput& output, std::stop_token stop)> query = {};
  /// Copies the target, which its pipeline has let go of, to a file, and says what it holds. Null where the target has
  /// other means.
  std::function<std::string(const TargetToCheck& target, const std::filesystem::path& to)> back_up = {};
  /// Puts such a file in the place of the target. Nobody may use it. Throws RefusedError when the log, which begins at
  /// `log_begins`, does not reach back to it. There where back_up is.
  std::function<Restored(const TargetToCheck& target, const std::filesystem::path& from, Lsn log_begins)> restore = {};
  /// The target's side of a comparison, from any thread of this process, beside the sink. Null = it cannot be compared.
  std::function<std::unique_ptr<sinks::Comparison>()> compare = {};
  /// Removes the target with its data. Nobody may hold it.
  std::function<void()> remove = {};
};

/// What happens when the log is full. kDetach: the sink that holds back most of it is let go, and made right by a copy
/// later.
enum class OnFull { kStop, kDetach };

/// The embedded log.
struct JournalSetup {
  /// How long units are kept after every sink has them.
  std::chrono::milliseconds keep{std::chrono::hours(24)};
  std::uint64_t max_size = 20ULL << 30;
  OnFull on_full = OnFull::kStop;
};

/// Whether source and targets are compared without being asked.
enum class VerifyMode { kOff, kContinuous };

/// One source, one log, any number of sinks. A value; holds secrets inside its factories.
struct PipelineSpec {
  std::string name;
  /// The state directory.
  std::filesystem::path state;
  SourceSetup source;
  JournalSetup log;
  /// What rows have to fulfil before any target gets them; null: nothing.
  std::shared_ptr<const rules::RowRules> rules = {};
  std::vector<SinkSetup> sinks;
  /// Of the whole process, in bytes.
  std::uint64_t memory = 512ULL << 20;
  VerifyMode verify = VerifyMode::kOff;
};

/// How `PipelineSpec::memory` is divided.
struct MemorySplit {
  std::uint64_t ring = 0;
  std::uint64_t spills = 0;
  /// Of one batch's messages, per sink.
  std::uint64_t batch = 0;
  /// Of each sink and its libraries.
  std::uint64_t sink = 0;
};
MemorySplit split_memory(std::uint64_t memory, std::size_t sinks);

/// The sink that answers SQL: the one named, or the only one there is. Throws BadConfigError TR513.
const SinkSetup& queryable_sink(const PipelineSpec& spec, const std::string& name);

/// Throws BadConfigError TR209 unless `name` is 1 to 50 of a-z, 0-9 and _ (it becomes part of a slot's name).
void check_name(const std::string& name);

}  // namespace tailrace::pipeline
