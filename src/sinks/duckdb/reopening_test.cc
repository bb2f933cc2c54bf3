// Opening a target again: histories that come and go, and tables that others have touched.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "sinks/duckdb/duckdb_sink.h"
#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

using ::testing::ElementsAre;

TEST(DuckdbSink, HistoryThatIsAskedForLaterBeginsThere) {
  Target target;
  const auto t = items();
  target.copy({{t, {{"1", "a", "x"}}}});
  target.close();
  DuckdbSpec spec = target.spec();
  spec.history = {"public.*"};
  DuckdbSink sink(spec);
  sink.open();
  Clock clock;
  Batch batch(clock);
  batch.begin().update(t, {"1", "b", kUnchanged});
  sink.apply(batch.done());
  sink.flush();
  EXPECT_THAT(target.query("SELECT v, is_current::VARCHAR FROM public.items__history ORDER BY from_lsn"),
              ElementsAre("a|false", "b|true"));
}

TEST(DuckdbSink, HistoryThatIsAskedForLaterKnowsNothingOfTheTimeBefore) {
  Target target;
  const auto t = items();
  target.copy({{t, {{"1", "a", "x"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().update(t, {"1", "b", "x"});
  target.apply(batch);
  target.close();
  DuckdbSpec spec = target.spec();
  spec.history = {"public.*"};
  DuckdbSink sink(spec);
  sink.open();
  EXPECT_THAT(target.query("SELECT v, from_lsn::VARCHAR FROM public.items__history"), ElementsAre("b|1100"));
  EXPECT_THAT(target.query("SELECT from_lsn::VARCHAR FROM tailrace.baselines"), ElementsAre("1100"));
}

TEST(DuckdbSink, HistoryIsTakenUpAgainOnlyWithoutAGap) {
  DuckdbSpec kept;
  kept.history = {"public.*"};
  Target target(kept);
  const auto t = items();
  target.copy({{t, {{"1", "a", "x"}}}});
  target.close();
  kept = target.spec();
  DuckdbSpec plain = kept;
  plain.history = {};
  DuckdbSink(plain).open();
  {
    DuckdbSink again(kept);  // nothing changed meanwhile
    again.open();
    Clock clock;
    Batch batch(clock);
    batch.begin().update(t, {"1", "b", "x"});
    again.apply(batch.done());
    again.flush();
  }
  {
    DuckdbSink without(plain);
    without.open();
    Clock clock{2000, 2000};
    Batch batch(clock);
    batch.begin().update(t, {"1", "c", "x"});
    without.apply(batch.done());
    without.flush();
  }
  try {
    DuckdbSink(kept).open();
    FAIL() << "a history with a gap was taken up";
  } catch (const RefusedError& error) {
    EXPECT_EQ(error.code(), "TR616");
    EXPECT_THAT(error.remedy(), ::testing::HasSubstr("RENAME TO"));
  }
  target.query("DROP TABLE public.items__history");
  DuckdbSink fresh(kept);
  fresh.open();
  EXPECT_THAT(target.query("SELECT v, is_current::VARCHAR FROM public.items__history"), ElementsAre("c|true"));
}

TEST(DuckdbSink, ATableThatIsNotAsItWasMadeIsRefused) {
  Target target;
  const auto t = table("amounts", {{"id", 20, -1, 1}, {"amount", 1700, ((10 << 16) | 2) + 4}, {"at", 1184}});
  target.copy({{t, {{"1", "2.50", "2024-01-01 00:00:00+00"}}}});
  target.open();
  target.close();
  const auto code_of = [](const DuckdbSpec& spec) -> std::string {
    try {
      DuckdbSink(spec).open();
    } catch (const RefusedError& error) {
      return error.code();
    }
    return "";
  };
  DuckdbSpec as_text = target.spec();
  as_text.on_unrepresentable = OnUnrepresentable::kText;
  EXPECT_EQ(code_of(as_text), "TR617");
  EXPECT_EQ(code_of(target.spec()), "");
  target.query("ALTER TABLE public.amounts RENAME amount TO total");
  EXPECT_EQ(code_of(target.spec()), "TR617");
  target.query("DROP TABLE public.amounts");
  EXPECT_EQ(code_of(target.spec()), "TR617");
}

}  // namespace
}  // namespace tailrace::duckdb::test
