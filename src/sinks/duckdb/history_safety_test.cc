#include "sinks/duckdb/history_safety.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "sinks/duckdb/damage.h"
#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint32_t kFloat8 = 701;
constexpr std::uint32_t kTimestampTz = 1184;
constexpr std::uint32_t kInterval = 1186;
constexpr std::uint32_t kTimeTz = 1266;
constexpr std::uint32_t kInt8Array = 1016;

RelationPtr measures() {
  return table("measures",
               {{"id", 20, -1, 1},
                {"f", kFloat8},
                {"t", kTimestampTz},
                {"i", kInterval},
                {"z", kTimeTz},
                {"a", kInt8Array, -1, 0, TypeKind::kArray, 20},
                {"big"}},
               ReplicaIdentity::kDefault, 20000);
}
RelationPtr bag() { return table("bag", {{"v"}, {"i", kInterval}}, ReplicaIdentity::kFull, 20001); }
RelationPtr plain() { return table("plain", {{"id", 20, -1, 1}}, ReplicaIdentity::kDefault, 20002); }

/// A target with histories that exports whenever it is asked to.
class Safety : public ::testing::Test {
 protected:
  explicit Safety(std::vector<std::string> history = {"public.*"}) {
    ::setenv("TAILRACE_BOUND_EXPORT_SECONDS", "0", 1);
    DuckdbSpec spec;
    spec.history = std::move(history);
    target_ = std::make_unique<Target>(spec);
  }
  ~Safety() override { ::unsetenv("TAILRACE_BOUND_EXPORT_SECONDS"); }

  std::filesystem::path root() const { return safety_root(target_->path()); }
  std::vector<std::string> all_rows() {
    std::vector<std::string> all;
    for (const std::string& line : target_->query(
             "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE schema_name = 'public' ORDER BY 1"))
      for (const std::string& row : target_->rows(line)) all.push_back(line + ": " + row);
    return all;
  }
  void break_file() {
    target_->close();
    std::ofstream(target_->path(), std::ios::trunc) << "no database any more, though it was one until a moment ago";
    std::filesystem::remove(target_->path().string() + ".wal");
  }
  /// Opens the broken target, sets it aside, and opens what took its place.
  sinks::SinkState replace() {
    DuckdbSpec spec = target_->spec();
    spec.known = true;
    sink_ = std::make_unique<DuckdbSink>(spec);
    EXPECT_THROW(sink_->open(), sinks::DamagedTarget);
    sink_->set_aside();
    return sink_->open();
  }

  std::unique_ptr<Target> target_;
  std::unique_ptr<DuckdbSink> sink_;
  Clock clock_;
};

TEST_F(Safety, BringsBackEveryVersionAndTheLogDoesTheRest) {
  const auto m = measures();
  const auto b = bag();
  target_->copy({{m,
                  {{"1", "-0", "infinity", "1 mon", "12:34:56.789-03:30", "{1,NULL,3}", "x"},
                   {"2", "NaN", "2024-01-31 12:00:00.000001+00", "-00:00:00.000001", "00:00:00+00", "{}", "y"}}},
                 {b, {{"a", "1 mon"}, {"a", "1 mon"}, {"a", "30 days"}, {std::nullopt, std::nullopt}}}});
  std::vector<std::function<void()>> changes = {
      [&] {
        Batch batch(clock_);
        batch.begin().update(m, {"1", "4.25", "-infinity", "30 days", "12:34:56.789-03:30", "{}", kUnchanged});
        batch.begin().remove_full(b, {"a", "1 mon"}).insert(b, {"b", "1 mon"});
        sink_->apply(batch.done());
      },
      [&] {
        Batch batch(clock_);
        batch.begin().insert(m, {"3", "1.5", std::nullopt, std::nullopt, std::nullopt, std::nullopt, kUnchanged});
        batch.begin().remove(m,
                             {"2", std::nullopt, std::nullopt, std::nullopt, std::nullopt, std::nullopt, std::nullopt});
        batch.begin().update_full(b, {"a", "1 mon"}, {"a", "30 days"});
        sink_->apply(batch.done());
      },
      [&] {
        Batch batch(clock_);
        batch.begin().update(m, {"3", "2.5", std::nullopt, "1 day", std::nullopt, "{7}", "now"});
        batch.begin().remove_full(b, {"a", "30 days"}).truncate(b).insert(b, {"c", std::nullopt});
        sink_->apply(batch.done());
      },
      [&] {
        Batch batch(clock_);
        batch.begin().update(m, {"1", "9", std::nullopt, std::nullopt, std::nullopt, std::nullopt, kUnchanged});
        batch.begin().insert(b, {"c", std::nullopt}).remove_full(b, {"c", std::nullopt});
        sink_->apply(batch.done());
      },
  };
  target_->close();
  sink_ = std::make_unique<DuckdbSink>(target_->spec());
  sink_->open();
  sink_->maintain();
  std::vector<Clock> clocks;
  std::vector<Cursor> cursors;
  std::vector<std::vector<std::string>> truths;
  for (std::size_t n = 0; n < changes.size(); ++n) {
    clocks.push_back(clock_);
    changes[n]();
    cursors.push_back(sink_->flush());
    truths.push_back(all_rows());
    if (n < 3) sink_->maintain();
    EXPECT_EQ(sink_->keeps_from(), cursors[std::min<std::size_t>(n, 2)].position);
  }
  EXPECT_THAT(read_exports(root()), SizeIs(4));
  sink_.reset();
  break_file();
  const sinks::SinkState state = replace();
  ASSERT_TRUE(state.cursor);
  EXPECT_EQ(*state.cursor, cursors[2]);
  EXPECT_THAT(state.copied, SizeIs(2));
  EXPECT_EQ(all_rows(), truths[2]);
  clock_ = clocks[3];
  changes[3]();
  sink_->flush();
  EXPECT_EQ(all_rows(), truths[3]);
  EXPECT_THAT(target_->query("SELECT id::VARCHAR FROM public.measures__as_of('2100-01-01') ORDER BY id"),
              ElementsAre("1", "3"));
}

TEST_F(Safety, RowsThatWereCompletedLaterAreInIt) {
  const auto t = items();
  target_->copy({{t, {{"1", "a", "x"}}}});
  Batch batch(clock_);
  batch.begin().insert(t, {"2", "b", kUnchanged});
  target_->apply(batch);
  target_->sink().maintain();
  Batch later(clock_);
  later.begin().update(t, {"1", "a2", "x"});
  target_->apply(later);
  target_->sink().maintain();
  FencedRows read;
  read.fence.snapshot = *SnapshotXids::parse("900:900:");
  read.fence.end = Lsn(clock_.lsn);
  read.rows = {t, tuple_bytes({"2", "b", "BIG"}), 1};
  EXPECT_EQ(target_->sink().complete(read), 1u);
  Batch last(clock_);
  last.begin().update(t, {"1", "a3", "x"});
  target_->apply(last);
  target_->sink().maintain();
  const auto truth = all_rows();
  break_file();
  ASSERT_TRUE(replace().cursor);
  EXPECT_EQ(all_rows(), truth);
}

class MixedSafety : public Safety {
 protected:
  MixedSafety() : Safety({"public.items"}) {}
};

TEST_F(MixedSafety, TablesWithoutHistoryAreCopiedAnewBesideIt) {
  target_->copy({{items(), {{"1", "a", "x"}}}, {plain(), {{"7"}}}});
  Batch batch(clock_);
  batch.begin().update(items(), {"1", "b", "x"}).insert(plain(), {"8"});
  target_->apply(batch);
  target_->sink().maintain();
  const auto truth = all_rows();
  break_file();
  const sinks::SinkState state = replace();
  EXPECT_FALSE(state.cursor);
  ASSERT_TRUE(state.resume);
  ASSERT_THAT(state.copied, SizeIs(1));
  EXPECT_EQ(state.copied.front().relation->name, "items");
  sink_->begin_copy({plain()});
  EXPECT_TRUE(sink_->open().resume) << "an unfinished copy is begun again";
  sink_->begin_copy({plain()});
  auto writer = sink_->open_copy(plain());
  writer->append({plain(), tuple_bytes({"7"}) + tuple_bytes({"8"}), 2});
  writer->finish();
  writer.reset();
  Fence fence;
  fence.snapshot = *SnapshotXids::parse("900:900:");
  fence.end = Lsn(clock_.lsn);
  sink_->finish_copy({plain(), fence, 2});
  sink_->finish_copies(*state.resume);
  EXPECT_EQ(all_rows(), truth);
  EXPECT_EQ(sink_->open().cursor, state.resume);
}

TEST_F(MixedSafety, TablesThatAreNotAtTheSourceAnyMoreAreForgotten) {
  target_->copy({{items(), {{"1", "a", "x"}}}, {plain(), {{"7"}}}});
  target_->sink().maintain();
  break_file();
  const sinks::SinkState state = replace();
  ASSERT_TRUE(state.resume);
  sink_->finish_copies(*state.resume);
  EXPECT_EQ(sink_->open().cursor, state.resume);
  EXPECT_THAT(target_->query("SELECT table_name FROM tailrace.tables"), ElementsAre("items"));
}

TEST_F(Safety, OneThatIsDamagedItselfIsNotUsed) {
  target_->copy({{items(), {{"1", "a", "x"}}}});
  target_->sink().maintain();
  const auto exports = read_exports(root());
  ASSERT_THAT(exports, SizeIs(1));
  const auto piece = root() / exports.front().name() / "t1.parquet";
  {
    std::fstream file(piece, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(40);
    file.put('!');
  }
  break_file();
  DuckdbSpec spec = target_->spec();
  spec.known = true;
  DuckdbSink sink(spec);
  EXPECT_THROW(sink.open(), sinks::DamagedTarget);
  try {
    sink.set_aside();
    FAIL();
  } catch (const CorruptionError& error) {
    EXPECT_EQ(error.code(), "TR627");
  }
  EXPECT_TRUE(std::filesystem::exists(target_->path()));
}

TEST_F(Safety, ANewTargetBeginsANewOneAndTheFormerStays) {
  target_->copy({{items(), {{"1", "a", "x"}}}});
  target_->sink().maintain();
  target_->close();
  std::filesystem::remove(target_->path());
  std::filesystem::remove(target_->path().string() + ".wal");
  target_->open();
  EXPECT_FALSE(target_->state().cursor);
  EXPECT_THAT(read_exports(root()), IsEmpty());
  std::size_t former = 0;
  for (const auto& entry : std::filesystem::directory_iterator(root().parent_path()))
    if (entry.path().filename().string().starts_with(root().filename().string() + ".former-")) ++former;
  EXPECT_EQ(former, 1u);
}

TEST_F(Safety, WhatWasMadeAgainIsTakenEvenIfTheProcessDiedBetween) {
  target_->copy({{items(), {{"1", "a", "x"}}}});
  target_->sink().maintain();
  const auto truth = all_rows();
  break_file();
  make_restored(target_->spec());
  move_aside(target_->path(), "damaged");
  target_->open();
  EXPECT_TRUE(target_->state().cursor);
  EXPECT_EQ(all_rows(), truth);
}

TEST_F(Safety, AnExportThatWasNotFinishedDoesNotCount) {
  target_->copy({{items(), {{"1", "a", "x"}}}});
  target_->sink().maintain();
  const auto before = read_exports(root());
  std::filesystem::create_directory(root() / "ffffffff-0000000000000001-0000000000000000.part");
  target_->open();
  EXPECT_EQ(read_exports(root()).back().name(), before.back().name());
  EXPECT_FALSE(std::filesystem::exists(root() / "ffffffff-0000000000000001-0000000000000000.part"));
}

}  // namespace
}  // namespace tailrace::duckdb::test
