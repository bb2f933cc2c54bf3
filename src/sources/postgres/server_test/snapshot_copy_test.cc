// Copying from a real server, and what a copy and the stream make of the same rows.

#include "sources/postgres/snapshot_copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/bytes.h"
#include "base/error.h"
#include "model/tuple.h"
#include "pgoutput/messages.h"
#include "sources/postgres/postgres_source.h"
#include "sources/postgres/server_test/copy_fixture.h"

namespace tailrace::postgres {
namespace {

using std::chrono::milliseconds;

class SnapshotCopyTest : public CopyFixture {
 protected:
  int server_version() const { return sql->server_version(); }
  bool has_multiranges() const { return server_version() >= 140000; }
  void make_all_types();
};

const char* kAllTypes = R"sql(
CREATE TYPE public.mood AS ENUM ('sad', 'it''s "fine"', '');
CREATE TYPE public.pair AS (a int, b text);
CREATE DOMAIN public.price AS numeric(12,3) CHECK (VALUE >= 0);
CREATE DOMAIN public.dear_price AS public.price;
CREATE DOMAIN public.numbers AS int[];
CREATE TABLE public.source (
  id int PRIMARY KEY, c_bool bool, c_int2 int2, c_int8 int8, c_num numeric, c_num2 numeric(20,5), c_f4 float4, c_f8 float8,
  c_money money, c_char char(5), c_varchar varchar(50), c_text text, c_onechar "char", c_name name, c_bytea bytea,
  c_date date, c_time time, c_timetz timetz, c_ts timestamp, c_tstz timestamptz, c_interval interval, c_uuid uuid,
  c_json json, c_jsonb jsonb, c_jsonpath jsonpath, c_xml xml, c_inet inet, c_cidr cidr, c_mac macaddr, c_mac8 macaddr8,
  c_bit bit(5), c_varbit varbit, c_point point, c_line line, c_lseg lseg, c_box box, c_path path, c_polygon polygon,
  c_circle circle, c_tsv tsvector, c_tsq tsquery, c_range int4range, c_tstzrange tstzrange, c_multi int4multirange,
  c_ints int[], c_texts text[][], c_oid oid, c_regclass regclass, c_lsn pg_lsn, c_xid8 xid8, c_tid tid,
  c_mood public.mood, c_moods public.mood[], c_pair public.pair, c_pairs public.pair[], c_price public.dear_price,
  c_numbers public.numbers, c_vector int2vector, c_stamps timestamptz[], c_bools bool[], c_byteas bytea[]);
CREATE TABLE public.again (LIKE public.source INCLUDING ALL);
INSERT INTO public.source VALUES (1, true, -32768, 9223372036854775807, 'NaN', 0.00001, 'NaN', 1e-300, 12.34, 'ab', E'tab\there',
  E'line\nfeed\\N back\\slash\r \b\f\v \x01', 'x', 'name', '\x00ff5c0a09', 'infinity', '24:00:00', '12:00:00.5+05:30',
  '-infinity', '4713-01-01 00:00:00+00 BC', '1 year -2 mons 3 days -04:05:06.789', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
  '{"a": "tab\tnew"}', '{"b":[1,null]}', '$.a[*]', '<a>&lt;</a>', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03',
  '08:00:2b:01:02:03:04:05', B'10101', B'', '(1,2)', '{1,2,3}', '[(0,0),(1,1)]', '(1,1),(0,0)', '((0,0),(1,1))',
  '((0,0),(1,1),(1,0))', '<(0,0),1>', 'fat:1A cat:2', 'fat & !cat', '[1,5)', '[2020-01-01,)', '{[1,2),[5,9)}',
  '[0:1]={1,NULL}', '{{"a,b","c\"d"},{NULL,""}}', 4294967295, 'pg_class', '16/B374D848', '18446744073709551615', '(0,1)',
  'it''s "fine"', '{sad,""}', '(1,"x,y")', '{"(1,\"a b\")"}', 1.5, '{1,2}', '1 2 3', '{2020-01-01 00:00:00+02,infinity}',
  '{t,f,NULL}', '{"\\x00"}');
INSERT INTO public.source (id) VALUES (2);
INSERT INTO public.source (id, c_text, c_varchar, c_num, c_f4, c_f8, c_date, c_ts, c_interval, c_bytea, c_texts) VALUES
 (3, '', '\N', 'NaN', 0.1, 0.1, '0044-03-15 BC', '294276-12-31 23:59:59.999999', '-178000000 years', '', '{}'),
 (4, repeat('long value that is stored out of line ', 20000), '\.', '-1e400', '-0', '-0', '5874897-12-31', '1999-01-08',
  '0', decode(repeat('00ff', 30000), 'hex'), NULL);
)sql";

void SnapshotCopyTest::make_all_types() {
  std::string statements = kAllTypes;
  const std::string multirange = "int4multirange";
  if (!has_multiranges()) statements.replace(statements.find(multirange), multirange.size(), "text");
  run(statements);
}

TEST_F(SnapshotCopyTest, copy_and_stream_make_the_same_bytes_of_every_type) {
  make_all_types();
  make_source(spec());
  const auto copy = source->begin_copy({}, {});
  const std::vector<std::string> copied = rows_of(*copy, "source");
  ASSERT_EQ(copied.size(), 4u);
  start_streaming();
  run("INSERT INTO public.again SELECT * FROM public.source");
  wait_for_units(1);
  const auto units = log.units();
  ASSERT_EQ(units[0].changes.size(), 4u);
  std::map<std::string, std::string> streamed;
  for (const auto& change : units[0].changes) {
    const std::string tuple(pgoutput::parse_row_change(change.message).new_row.bytes());
    streamed[text_of(tuple, 0)] = tuple;
  }
  for (const std::string& tuple : copied)
    EXPECT_TRUE(tuple == streamed[text_of(tuple, 0)]) << "row " << text_of(tuple, 0);
  // Both sides also describe the same columns.
  std::vector<Column> columns = table(*copy, "source").relation->columns;
  EXPECT_EQ(columns, units[0].changes[0].relation->columns);
}

TEST_F(SnapshotCopyTest, defaults_of_role_and_database_change_no_byte) {
  make_all_types();
  run("CREATE SCHEMA elsewhere; CREATE VIEW elsewhere.pg_class AS SELECT 1 AS oid; "
      "CREATE FUNCTION elsewhere.pg_current_snapshot() RETURNS text LANGUAGE sql AS $$SELECT 'hijacked'$$");
  make_source(spec());
  const std::vector<std::string> plain = rows_of(*source->begin_copy({}, {}), "source");
  ASSERT_EQ(plain.size(), 4u);

  run("DROP ROLE IF EXISTS odd; CREATE ROLE odd LOGIN SUPERUSER REPLICATION");
  for (const char* setting :
       {"DateStyle = 'German'", "IntervalStyle = iso_8601", "TimeZone = 'Asia/Kathmandu'", "extra_float_digits = -15",
        "bytea_output = escape", "search_path = elsewhere, pg_catalog, public", "quote_all_identifiers = on",
        "statement_timeout = '700ms'", "lock_timeout = '700ms'", "idle_in_transaction_session_timeout = '700ms'",
        "standard_conforming_strings = off", "row_security = off", "client_encoding = LATIN1",
        "default_transaction_isolation = serializable", "default_transaction_deferrable = on"})
    run(std::string("ALTER ROLE odd SET ") + setting);
  run("ALTER DATABASE copy SET default_transaction_read_only = on; ALTER DATABASE copy SET array_nulls = off");
  SourceSpec odd = spec();
  odd.conninfo = PrivateCluster::instance().conninfo("copy", "odd");
  odd.slot += "_odd";
  odd.publication += "_odd";
  source.reset();
  memory.facts.reset();
  RecordingLog own_log;
  source = std::make_unique<PostgresSource>(odd, memory, own_log);
  source->prepare({});
  const auto copy = source->begin_copy({}, {});
  std::this_thread::sleep_for(milliseconds(900));
  EXPECT_TRUE(rows_of(*copy, "source") == plain);
  start_streaming();
  run("INSERT INTO public.again SELECT * FROM public.source");
  for (int i = 0; i < 1000 && own_log.unit_count() < 1; ++i) std::this_thread::sleep_for(milliseconds(10));
  const auto units = own_log.units();
  streaming = {};
  source.reset();
  run("DROP OWNED BY odd CASCADE; DROP ROLE odd");
  ASSERT_EQ(units.size(), 1u);
  std::vector<std::string> streamed;
  for (const auto& change : units[0].changes)
    streamed.emplace_back(pgoutput::parse_row_change(change.message).new_row.bytes());
  EXPECT_TRUE(std::is_permutation(plain.begin(), plain.end(), streamed.begin(), streamed.end()));
}

TEST_F(SnapshotCopyTest, domains_elements_and_kinds_are_seen_through) {
  make_all_types();
  run("CREATE TABLE public.boxes (id int PRIMARY KEY, c_boxes box[])");
  make_source(spec());
  const auto copy = source->begin_copy({}, {});
  EXPECT_EQ(table(*copy, "boxes").relation->columns.back().type.delimiter, ';');
  const Relation& relation = *table(*copy, "source").relation;
  const auto type = [&](const std::string& name) {
    for (const Column& column : relation.columns)
      if (column.name == name) return column.type;
    throw DefectError("no such column: " + name);
  };
  EXPECT_EQ(type("c_price").base_name, "numeric");
  EXPECT_EQ(type("c_price").base_typmod, ((12 << 16) | 3) + 4);
  EXPECT_EQ(type("c_price").display, "public.dear_price");
  EXPECT_EQ(type("c_numbers").kind, TypeKind::kArray);
  EXPECT_EQ(type("c_numbers").element.value(), 23u);
  EXPECT_EQ(type("c_moods").element_kind, TypeKind::kEnum);
  EXPECT_EQ(type("c_moods").delimiter, ',');
  EXPECT_EQ(type("c_mood").kind, TypeKind::kEnum);
  EXPECT_EQ(type("c_pair").kind, TypeKind::kComposite);
  EXPECT_EQ(type("c_range").kind, TypeKind::kRange);
  EXPECT_EQ(type("c_multi").kind, has_multiranges() ? TypeKind::kMultirange : TypeKind::kBase);
  EXPECT_EQ(type("c_vector").kind, TypeKind::kBase);
  EXPECT_EQ(type("c_num2").display, "numeric(20,5)");
}

TEST_F(SnapshotCopyTest, parallel_ranges_give_every_row_once_while_writers_move_them) {
  run("CREATE TABLE public.big (id int PRIMARY KEY, filler text)");
  run("INSERT INTO public.big SELECT g, repeat('x', 900) FROM generate_series(1, 40000) g");
  make_source(spec());
  const auto copy = source->begin_copy({}, {});
  std::jthread writer([](std::stop_token stop) {
    const auto other = PrivateCluster::instance().connect("copy");
    for (int i = 0; !stop.stop_requested(); ++i) {
      other->query("UPDATE public.big SET filler = 'moved' WHERE id % 97 = " + std::to_string(i % 97), "writing");
      other->query("DELETE FROM public.big WHERE id = " + std::to_string(40000 - i), "writing");
      other->query("INSERT INTO public.big VALUES (" + std::to_string(100000 + i) + ", 'new')", "writing");
    }
  });
  const std::vector<std::string> rows = rows_of(*copy, "big");
  writer.request_stop();
  std::set<std::string> ids;
  for (const std::string& row : rows) {
    ids.insert(text_of(row, 0));
    EXPECT_EQ(text_of(row, 1).size(), 900u);
  }
  EXPECT_EQ(rows.size(), 40000u);
  EXPECT_EQ(ids.size(), 40000u);
}

/// Notes the pages that are done, too.
class RangeCollector final : public Collector {
 public:
  RangeCollector(Collected& into, std::vector<PageRange>& ranges) : Collector(into), ranges_(ranges) {}
  void range_done(const PageRange& range) override { ranges_.push_back(range); }

 private:
  std::vector<PageRange>& ranges_;
};

TEST_F(SnapshotCopyTest, pages_that_are_done_are_told_and_not_read_again) {
  if (server_version() < 140000) return;  // read in one piece
  run("CREATE TABLE public.big (id int PRIMARY KEY, filler text)");
  run("INSERT INTO public.big SELECT g, repeat('x', 900) FROM generate_series(1, 20000) g");
  SourceSpec one = spec();
  one.copy_readers = 1;
  make_source(one);
  const auto copy = source->begin_copy({}, {});
  TableToCopy rest = table(*copy, "big");
  EXPECT_TRUE(rest.resumable);
  const auto read = [&](std::vector<PageRange>& ranges) {
    Collected collected;
    CopyProgress progress;
    copy->copy(rest, [&] { return std::make_unique<RangeCollector>(collected, ranges); }, progress, {});
    return collected.tuples;
  };
  std::vector<PageRange> ranges;
  const std::vector<std::string> all = read(ranges);
  ASSERT_EQ(all.size(), 20000u);
  ASSERT_GE(ranges.size(), 2u);
  EXPECT_EQ(pages_besides(ranges, ranges.back().end), (std::vector<PageRange>{{ranges.back().end, ranges.back().end}}));
  rest.done = ranges;
  std::vector<PageRange> none;
  EXPECT_TRUE(read(none).empty());
  EXPECT_TRUE(none.empty());
  // A hole in the middle.
  rest.done = {{0, 100}, {300, ranges.back().end}};
  std::vector<PageRange> holes;
  const std::vector<std::string> some = read(holes);
  EXPECT_EQ(holes, (std::vector<PageRange>{{100, 300}}));
  const Rows wanted =
      run("SELECT count(*), min(id), max(id) FROM public.big WHERE ctid >= '(100,0)' AND ctid < '(300,0)'");
  ASSERT_EQ(some.size(), wanted.unsigned_number(0, 0));
  EXPECT_EQ(text_of(some.front(), 0), wanted.at(0, 1));
  EXPECT_EQ(text_of(some.back(), 0), wanted.at(0, 2));
}

TEST_F(SnapshotCopyTest, rows_are_read_by_key_under_the_copys_own_snapshot) {
  run("CREATE TABLE public.t (a text, v text, b numeric, PRIMARY KEY (b, a))");
  run("INSERT INTO public.t SELECT 'k' || g, 'v' || g, g FROM generate_series(1, 3000) g");
  make_source(spec());
  const auto copy = source->begin_copy({}, {});
  run("UPDATE public.t SET v = 'late'; DELETE FROM public.t WHERE b < 100");
  std::vector<std::string> keys;
  for (int n = 1; n <= 2000; n += 2) {
    TupleWriter writer(keys.emplace_back(), 2);
    writer.text(std::to_string(n));
    writer.text("k" + std::to_string(n));
  }
  TupleWriter missing(keys.emplace_back(), 2);
  missing.text("99999");
  missing.text("'; DROP TABLE public.t; --");
  Collected collected;
  Collector collector(collected);
  CopyProgress progress;
  copy->copy_keys(table(*copy, "t"), keys, collector, progress, {});
  EXPECT_EQ(collected.tuples.size(), 1000u);
  EXPECT_EQ(collected.finished, 1);
  for (const std::string& tuple : collected.tuples) EXPECT_EQ("v" + text_of(tuple, 2), text_of(tuple, 1));
}

TEST_F(SnapshotCopyTest, a_copy_is_resumable_only_where_the_log_tells_all_that_changes) {
  run("CREATE TABLE public.keyed (id int PRIMARY KEY); CREATE TABLE public.bag (n int); ALTER TABLE public.bag REPLICA "
      "IDENTITY FULL; CREATE TABLE public.bare (n int)");
  make_source(spec());
  const auto copy = source->begin_copy({}, {});
  EXPECT_TRUE(table(*copy, "keyed").resumable);
  EXPECT_FALSE(table(*copy, "bag").resumable);
  EXPECT_FALSE(table(*copy, "bare").resumable);
  run("ALTER PUBLICATION tailrace_copy SET (publish = 'insert, delete')");
  EXPECT_FALSE(table(*source->begin_copy({}, {}), "keyed").resumable);
}

TEST_F(SnapshotCopyTest, an_empty_table_and_one_without_columns_are_copied) {
  run("CREATE TABLE public.empty (id int PRIMARY KEY); CREATE TABLE public.bare (); INSERT INTO public.bare DEFAULT "
      "VALUES");
  make_source(spec());
  const auto copy = source->begin_copy({}, {});
  EXPECT_TRUE(rows_of(*copy, "empty").empty());
  EXPECT_EQ(rows_of(*copy, "bare").size(), 1u);
}

TEST_F(SnapshotCopyTest, a_table_rewritten_since_the_snapshot_is_refused_and_copied_anew) {
  run("CREATE TABLE public.t (id int PRIMARY KEY); INSERT INTO public.t VALUES (1), (2)");
  make_source(spec());
  auto copy = source->begin_copy({}, {});
  run("TRUNCATE public.t; INSERT INTO public.t VALUES (3)");
  EXPECT_THROW(rows_of(*copy, "t"), RetryError);
  copy = source->begin_copy({}, {});
  EXPECT_EQ(rows_of(*copy, "t").size(), 1u);
  run("DROP TABLE public.t");
  EXPECT_THROW(rows_of(*copy, "t"), RetryError);
}

TEST_F(SnapshotCopyTest, names_that_changed_hands_since_the_snapshot_are_not_followed) {
  run("CREATE TABLE public.t (id int PRIMARY KEY, a text, b text); INSERT INTO public.t VALUES (1, 'a', 'b')");
  run("CREATE TABLE public.u (id int PRIMARY KEY, a text, b text); INSERT INTO public.u VALUES (2, 'c', 'd')");
  make_source(spec());
  auto copy = source->begin_copy({}, {});
  run("ALTER TABLE public.t RENAME TO x; ALTER TABLE public.u RENAME TO t; ALTER TABLE public.x RENAME TO u");
  EXPECT_THROW(rows_of(*copy, "t"), RetryError);
  copy = source->begin_copy({}, {});
  EXPECT_EQ(text_of(rows_of(*copy, "t").at(0), 0), "2");
  run("ALTER TABLE public.t RENAME a TO x; ALTER TABLE public.t RENAME b TO a; ALTER TABLE public.t RENAME x TO b");
  EXPECT_THROW(rows_of(*copy, "t"), RetryError);
}

TEST_F(SnapshotCopyTest, row_filters_and_column_lists_of_a_publication_hold_for_the_copy) {
  run("CREATE TABLE public.t (id int PRIMARY KEY, shown text, hidden text)");
  run("INSERT INTO public.t SELECT g, 's', 'h' FROM generate_series(1, 10) g");
  // Older servers know neither, and are not asked for them.
  const bool has_filters = server_version() >= 150000;
  run(std::string("CREATE PUBLICATION tailrace_copy FOR TABLE public.t") +
      (has_filters ? " (id, shown) WHERE (id > 7)" : ""));
  make_source(spec());
  const auto copy = source->begin_copy({}, {});
  EXPECT_EQ(table(*copy, "t").relation->columns.size(), has_filters ? 2u : 3u);
  EXPECT_EQ(rows_of(*copy, "t").size(), has_filters ? 3u : 10u);
}

/// A copy that is begun on a thread of its own; its snapshot is not the slot's.
class LaterCopy {
 public:
  explicit LaterCopy(PostgresSource& source) : source_(source), thread_([this] { begin(); }) {}
  bool begun() const { return begun_; }
  bool told_to_wait() const {
    const auto problems = source_.status().problems;
    return std::ranges::any_of(problems, [](const SourceProblem& problem) { return problem.code == "TR127"; });
  }
  sources::Copy& wait() {
    thread_.join();
    return *copy_;
  }

 private:
  void begin() {
    copy_ = source_.begin_copy({}, {});
    begun_ = true;
  }

  PostgresSource& source_;
  std::unique_ptr<sources::Copy> copy_;
  std::atomic<bool> begun_ = false;
  std::jthread thread_;
};

bool soon(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000 && !condition(); ++i) std::this_thread::sleep_for(milliseconds(10));
  return condition();
}

TEST_F(SnapshotCopyTest, a_later_copy_waits_for_transactions_that_have_not_ended) {
  run("CREATE TABLE public.t (id int PRIMARY KEY)");
  make_source(spec());
  source->begin_copy({}, {});
  const auto other = PrivateCluster::instance().connect("copy");
  other->query("BEGIN; SAVEPOINT a; INSERT INTO public.t VALUES (1)", "testing");
  const auto elsewhere = PrivateCluster::instance().connect("postgres");
  elsewhere->query("BEGIN; SELECT pg_current_xact_id()", "testing");
  LaterCopy later(*source);
  EXPECT_TRUE(soon([&] { return later.told_to_wait(); }));
  EXPECT_FALSE(later.begun());
  other->query("COMMIT", "testing");
  EXPECT_EQ(rows_of(later.wait(), "t").size(), 1u);
  EXPECT_FALSE(later.told_to_wait());
}

TEST_F(SnapshotCopyTest, a_later_copy_holds_commits_that_were_logged_long_before_they_became_visible) {
  run("CREATE TABLE public.t (id int PRIMARY KEY)");
  make_source(spec());
  source->begin_copy({}, {});
  start_streaming();
  const auto set_standby = [this](const std::string& name) {
    run("ALTER SYSTEM SET synchronous_standby_names = '" + name + "'");
    run("SELECT pg_reload_conf()");
  };
  // A reload takes a moment.
  const auto commits_wait = [this] {
    const std::jthread commit([] {
      PrivateCluster::instance().connect("copy")->query(
          "SET synchronous_commit = on; INSERT INTO public.probe VALUES (1)", "testing");
    });
    for (int i = 0; i < 20; ++i) {
      if (!run("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").empty()) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  };
  run("CREATE TABLE public.probe (id int)");
  set_standby("missing");
  ASSERT_TRUE(soon(commits_wait));
  std::jthread writer([] {
    const auto other = PrivateCluster::instance().connect("copy");
    other->query("SET synchronous_commit = on; INSERT INTO public.t VALUES (1)", "testing");
  });
  const auto logged = [&] {
    for (const auto& unit : log.units())
      if (!unit.changes.empty()) return true;
    return false;
  };
  EXPECT_TRUE(soon(logged));
  // In the WAL and in the log, yet nobody sees it.
  EXPECT_TRUE(run("SELECT FROM public.t").empty());
  // Our own nudge waits for no standby.
  EXPECT_GE(source->request_current_end(), log.durable_end());
  LaterCopy later(*source);
  EXPECT_TRUE(soon([&] { return later.told_to_wait() || later.begun(); }));
  EXPECT_FALSE(later.begun());
  set_standby("");
  writer.join();
  EXPECT_EQ(rows_of(later.wait(), "t").size(), 1u);
}

TEST_F(SnapshotCopyTest, a_copy_whose_slot_snapshot_is_gone_takes_a_younger_one) {
  run("CREATE TABLE public.t (id int PRIMARY KEY)");
  run("INSERT INTO public.t VALUES (1)");
  make_source(spec());
  run("INSERT INTO public.t VALUES (2)");
  // The connection that made the slot dies, as it does when the server is restarted before the copy begins.
  const std::string exporters = " FROM pg_stat_activity WHERE datname = 'copy' AND backend_type = 'walsender'";
  ASSERT_EQ(run("SELECT pg_terminate_backend(pid)" + exporters).size(), 1u);
  while (!run("SELECT" + exporters).empty()) std::this_thread::sleep_for(milliseconds(5));
  const auto copy = source->begin_copy({}, {});
  EXPECT_GT(copy->fence().end, memory.load()->consistent_point);
  EXPECT_EQ(rows_of(*copy, "t").size(), 2u);
}

TEST_F(SnapshotCopyTest, a_copy_whose_own_session_is_gone_can_be_begun_again) {
  run("CREATE TABLE public.t (id int PRIMARY KEY)");
  run("INSERT INTO public.t VALUES (1)");
  make_source(spec());
  const auto copy = source->begin_copy({}, {});
  const std::string keepers = " FROM pg_stat_activity WHERE datname = 'copy' AND state = 'idle in transaction'";
  ASSERT_FALSE(run("SELECT pg_terminate_backend(pid)" + keepers).empty());
  while (!run("SELECT" + keepers).empty()) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_THROW(rows_of(*copy, "t"), ReconnectError);
  EXPECT_EQ(rows_of(*source->begin_copy({}, {}), "t").size(), 1u);
}

TEST_F(SnapshotCopyTest, copy_and_stream_together_hold_each_transaction_once_under_concurrent_writers) {
  run("CREATE TABLE public.t (id bigserial PRIMARY KEY, writer int, n int)");
  std::atomic<bool> stop = false;
  std::vector<std::jthread> writers;
  for (int w = 0; w < 4; ++w)
    writers.emplace_back([&, w] {
      const auto other = PrivateCluster::instance().connect("copy");
      for (int n = 0; !stop; ++n)
        other->query("INSERT INTO public.t (writer, n) VALUES (" + std::to_string(w) + ", " + std::to_string(n) + ")",
                     "writing");
    });
  std::this_thread::sleep_for(milliseconds(100));
  make_source(spec());
  start_streaming();
  std::this_thread::sleep_for(milliseconds(100));
  // The second snapshot is one taken in the middle of the stream.
  source->begin_copy({}, {});
  const auto copy = source->begin_copy({}, {});
  std::multiset<std::string> ids;
  for (const std::string& row : rows_of(*copy, "t")) ids.insert(text_of(row, 0));
  std::this_thread::sleep_for(milliseconds(100));
  stop = true;
  writers.clear();
  const Lsn end = source->request_current_end();
  for (int i = 0; i < 1000 && log.durable_end() < end; ++i) std::this_thread::sleep_for(milliseconds(10));
  for (const auto& unit : log.units()) {
    if (copy->fence().contains(unit.record.xid, unit.record.end_lsn)) continue;
    for (const auto& change : unit.changes) {
      if (change.message.front() == 'I')
        ids.insert(text_of(std::string(pgoutput::parse_row_change(change.message).new_row.bytes()), 0));
    }
  }
  const Rows truth = run("SELECT id FROM public.t");
  EXPECT_EQ(ids.size(), truth.size());
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), truth.size());
}

}  // namespace
}  // namespace tailrace::postgres
