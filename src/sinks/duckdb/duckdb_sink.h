#pragma once

#include <memory>
#include <vector>

#include "sinks/duckdb/spec.h"
#include "sinks/sink.h"

namespace tailrace::duckdb {

/// A DuckDB file as a mirror of the source, with history where it is asked for. Rows and cursor are written in the same
/// DuckDB transaction, which opens with the first apply() and ends with flush(); between the two a later batch finds
/// what an earlier one wrote in the tables themselves. Per batch and key only the end state reaches DuckDB.
/// One runner thread owns it (see Sink). Other threads ask through DuckdbQuery.
class DuckdbSink : public sinks::Sink {
 public:
  explicit DuckdbSink(DuckdbSpec spec);
  ~DuckdbSink() override;

  sinks::SinkState open() override;
  void begin_copy(const std::vector<RelationPtr>& tables) override;
  std::unique_ptr<sinks::CopyWriter> open_copy(const RelationPtr& table) override;
  void finish_copy(const CopiedTable& copied) override;
  void finish_copies(const Cursor& start) override;
  void apply(const ChangeBatch& batch) override;
  void begin_epoch(const Cursor& at) override;
  Cursor flush() override;
  std::optional<sinks::IncompleteRows> incomplete() override;
  std::uint64_t incomplete_rows() const override;
  std::optional<Position> first_incomplete() const override;
  std::uint64_t complete(const FencedRows& rows) override;
  sinks::SideCopy* side_copy() override;
  sinks::ResumedCopy* resumed_copy() override;
  std::uint64_t mend(const Relation& relation, const std::vector<sinks::ExpectedRow>& rows) override;
  void replay(const sinks::LetterReplay& letters) override;
  void maintain() override;
  void release() override;
  sinks::SetAside set_aside() override;
  std::optional<Position> keeps_from() const override;
  void hurry() override;
  sinks::Counters counters() const override;
  sinks::TableOutcomes take_outcomes() override;
  std::vector<sinks::DeadLetter> take_dead_letters() override;
  std::vector<sinks::SinkProblem> problems() const override;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace tailrace::duckdb
