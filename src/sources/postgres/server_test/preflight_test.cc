#include "sources/postgres/preflight.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "sources/postgres/postgres_source.h"
#include "sources/postgres/recording_log.h"
#include "sources/postgres/removal.h"
#include "sources/postgres/server_test/facts_in_memory.h"
#include "sources/postgres/server_test/private_cluster.h"

namespace tailrace::postgres {
namespace {

class PreflightTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(PrivateCluster::instance().running()) << kNoServer;
    PrivateCluster::instance().create_database("preflight");
    sql = PrivateCluster::instance().connect("preflight");
    run("CREATE TABLE public.good (id int PRIMARY KEY, v text)");
  }
  void TearDown() override {
    if (sql) run("DROP OWNED BY weak CASCADE; DROP ROLE weak");
  }
  Rows run(const std::string& statement) {
    if (!role_made_) {
      role_made_ = true;
      sql->query(
          "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weak') THEN CREATE ROLE weak LOGIN; END "
          "IF; "
          "END $$",
          "testing");
    }
    return sql->query(statement, "testing");
  }
  SourceSpec spec(const std::string& user = "postgres") const {
    SourceSpec spec = PrivateCluster::instance().spec("preflight");
    spec.conninfo = PrivateCluster::instance().conninfo("preflight", user);
    return spec;
  }
  static std::vector<std::string> codes(const sources::SourceCheck& report, Severity severity = Severity::kError) {
    std::vector<std::string> out;
    for (const Finding& finding : report.findings)
      if (finding.severity == severity) out.push_back(finding.code);
    return out;
  }
  static bool has(const std::vector<std::string>& list, const std::string& code) {
    return std::ranges::find(list, code) != list.end();
  }
  static const Finding& finding(const sources::SourceCheck& report, const std::string& code) {
    return *std::ranges::find_if(report.findings, [&](const Finding& found) { return found.code == code; });
  }
  /// Code and exit code of what preparing a source with `spec` throws.
  static std::pair<std::string, ExitCode> refusal(const SourceSpec& spec) {
    FactsInMemory memory;
    RecordingLog log;
    return refusal(spec, memory, log);
  }
  static std::pair<std::string, ExitCode> refusal(const SourceSpec& spec, FactsInMemory& memory, RecordingLog& log) {
    PostgresSource source(spec, memory, log);
    try {
      source.prepare({});
    } catch (const Error& error) {
      return {error.code(), error.exit_code()};
    }
    return {"", ExitCode::kDone};
  }

  std::unique_ptr<Connection> sql;

 private:
  bool role_made_ = false;
};

using Refusal = std::pair<std::string, ExitCode>;

TEST_F(PreflightTest, a_good_database_passes_and_nothing_is_created_in_it) {
  const sources::SourceCheck report = check_source(spec());
  EXPECT_TRUE(sources::passed(report.findings));
  ASSERT_EQ(report.tables.size(), 1u);
  EXPECT_TRUE(report.tables[0].has_identity);
  EXPECT_EQ(report.database, "preflight");
  EXPECT_TRUE(run("SELECT FROM pg_publication").empty());
  EXPECT_TRUE(run("SELECT FROM pg_replication_slots WHERE database = 'preflight'").empty());
}

TEST_F(PreflightTest, usual_mistakes_of_the_address_have_their_own_code) {
  SourceSpec wrong = spec();
  wrong.conninfo = "postgresql://localhost:1/none?connect_timeout=2";
  EXPECT_EQ(refusal(wrong), Refusal("TR101", ExitCode::kUnreachable));
  EXPECT_EQ(codes(check_source(wrong)), std::vector<std::string>{"TR101"});
  wrong.conninfo = PrivateCluster::instance().conninfo("nowhere");
  EXPECT_EQ(refusal(wrong), Refusal("TR102", ExitCode::kUnreachable));
  wrong.conninfo = PrivateCluster::instance().conninfo("preflight", "nobody");
  EXPECT_EQ(refusal(wrong), Refusal("TR103", ExitCode::kUnreachable));
  wrong.conninfo = "postgresql://host:port:extra/";
  EXPECT_EQ(refusal(wrong), Refusal("TR129", ExitCode::kBadRequest));
  wrong.conninfo = "no equals sign";
  EXPECT_EQ(refusal(wrong), Refusal("TR129", ExitCode::kBadRequest));
}

TEST_F(PreflightTest, a_role_without_rights_is_told_what_it_lacks) {
  const sources::SourceCheck report = check_source(spec("weak"));
  EXPECT_TRUE(has(codes(report), "TR105"));
  EXPECT_TRUE(has(codes(report), "TR106"));
  EXPECT_TRUE(has(codes(report), "TR119"));
  EXPECT_NE(finding(report, "TR106").remedy.find("GRANT SELECT ON \"public\".\"good\" TO \"weak\";"),
            std::string::npos);
  EXPECT_EQ(refusal(spec("weak")), Refusal("TR105", ExitCode::kUnreachable));
}

TEST_F(PreflightTest, the_remedies_for_missing_rights_do_mend_them) {
  run("ALTER ROLE weak REPLICATION; GRANT CREATE ON DATABASE preflight TO weak; GRANT CREATE ON SCHEMA public TO weak; "
      "ALTER TABLE public.good OWNER TO weak");
  EXPECT_TRUE(sources::passed(check_source(spec("weak")).findings));
  EXPECT_EQ(refusal(spec("weak")).first, "");
}

TEST_F(PreflightTest, a_missing_table_is_named) {
  SourceSpec wrong = spec();
  wrong.tables = {"public.god"};
  EXPECT_EQ(refusal(wrong), Refusal("TR107", ExitCode::kUnreachable));
  EXPECT_NE(finding(check_source(wrong), "TR107").what.find("public.god"), std::string::npos);
  wrong.tables = {"other.*"};
  EXPECT_EQ(refusal(wrong).first, "TR107");
}

TEST_F(PreflightTest, tables_without_identity_are_followed_without_harming_the_application) {
  run("CREATE TABLE public.keyless (v text); "
      "CREATE TABLE public.late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED); "
      "CREATE TABLE public.whole (v text); ALTER TABLE public.whole REPLICA IDENTITY FULL; "
      "INSERT INTO public.keyless VALUES ('a'); INSERT INTO public.late VALUES (1); INSERT INTO public.whole VALUES "
      "('w')");
  const sources::SourceCheck report = check_source(spec());
  EXPECT_TRUE(sources::passed(report.findings));
  EXPECT_TRUE(has(codes(report, Severity::kWarning), "TR122"));
  EXPECT_TRUE(has(codes(report, Severity::kWarning), "TR123"));
  EXPECT_EQ(refusal(spec()).first, "");
  EXPECT_NO_THROW(
      run("UPDATE public.keyless SET v = 'b'; DELETE FROM public.late; UPDATE public.whole SET v = 'x'; "
          "DELETE FROM public.keyless"));
}

TEST_F(PreflightTest, row_security_that_would_hide_rows_is_refused) {
  run("ALTER ROLE weak REPLICATION; GRANT CREATE ON DATABASE preflight TO weak; ALTER TABLE public.good OWNER TO weak; "
      "ALTER TABLE public.good ENABLE ROW LEVEL SECURITY; ALTER TABLE public.good FORCE ROW LEVEL SECURITY");
  EXPECT_TRUE(has(codes(check_source(spec("weak"))), "TR124"));
  EXPECT_TRUE(sources::passed(check_source(spec()).findings));
}

TEST_F(PreflightTest, names_that_differ_only_in_case_are_refused) {
  run("CREATE TABLE public.twins (id int PRIMARY KEY, v text, \"V\" text)");
  EXPECT_EQ(refusal(spec()).first, "TR125");
  run("DROP TABLE public.twins; CREATE TABLE public.\"Good\" (id int PRIMARY KEY)");
  EXPECT_EQ(refusal(spec()).first, "TR125");
  SourceSpec one = spec();
  one.tables = {"!public.Good"};
  EXPECT_TRUE(sources::passed(check_source(one).findings));
}

TEST_F(PreflightTest, a_slot_that_is_not_ours_is_left_alone) {
  run("SELECT pg_create_logical_replication_slot('tailrace_preflight', 'test_decoding')");
  EXPECT_TRUE(has(codes(check_source(spec())), "TR111"));
  EXPECT_EQ(refusal(spec()).first, "TR111");
  EXPECT_EQ(run("SELECT FROM pg_replication_slots WHERE slot_name = 'tailrace_preflight'").size(), 1u);
}

TEST_F(PreflightTest, slots_that_are_all_taken_are_named) {
  run("SELECT pg_create_physical_replication_slot('taken_' || n) FROM generate_series(1 + (SELECT count(*) FROM "
      "pg_replication_slots), current_setting('max_replication_slots')::int) n");
  const sources::SourceCheck report = check_source(spec());
  run("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'taken%'");
  EXPECT_EQ(codes(report), std::vector<std::string>{"TR108"});
  EXPECT_NE(finding(report, "TR108").remedy.find("ALTER SYSTEM SET max_replication_slots"), std::string::npos);
}

TEST_F(PreflightTest, walsenders_that_are_all_taken_are_named) {
  std::vector<std::unique_ptr<Connection>> taken;
  const auto take_all = [&] {
    while (true) taken.push_back(Connection::open(spec(), ConnectionKind::kReplication));
  };
  EXPECT_THROW(take_all(), RetryError);
  EXPECT_EQ(codes(check_source(spec())), std::vector<std::string>{"TR109"});
}

TEST_F(PreflightTest, another_server_or_database_than_the_one_that_was_followed_is_refused) {
  FactsInMemory memory;
  RecordingLog log;
  PostgresSource(spec(), memory, log).prepare({});
  const SourceFacts followed = *memory.facts;
  memory.facts->system_identifier += 1;
  memory.facts->published.clear();
  EXPECT_EQ(refusal(spec(), memory, log), Refusal("TR116", ExitCode::kUnreachable));
  memory.facts = followed;
  memory.facts->database = Oid(followed.database.value() + 1);
  EXPECT_EQ(refusal(spec(), memory, log), Refusal("TR116", ExitCode::kUnreachable));
  memory.facts = followed;
  EXPECT_EQ(refusal(spec(), memory, log).first, "");
}

TEST_F(PreflightTest, a_slot_that_became_another_ones_is_refused) {
  FactsInMemory memory;
  RecordingLog log;
  PostgresSource(spec(), memory, log).prepare({});
  run("SELECT pg_drop_replication_slot('tailrace_preflight')");
  EXPECT_EQ(refusal(spec(), memory, log).first, "TR115");
  run("SELECT pg_create_logical_replication_slot('tailrace_preflight', 'test_decoding')");
  EXPECT_EQ(refusal(spec(), memory, log).first, "TR113");
}

TEST_F(PreflightTest, an_interrupted_start_leaves_nothing_in_the_way_of_the_next) {
  FactsInMemory memory;
  RecordingLog log;
  {
    PostgresSource source(spec(), memory, log);
    source.prepare({});
  }
  // As if the process had died between making the slot and remembering it.
  memory.facts->consistent_point = Lsn();
  RecordingLog fresh;
  PostgresSource source(spec(), memory, fresh);
  source.prepare({});
  EXPECT_TRUE(memory.facts->consistent_point.valid());
}

TEST_F(PreflightTest, a_publication_that_is_not_to_be_made_must_exist) {
  SourceSpec given = spec();
  given.create_publication = false;
  EXPECT_EQ(refusal(given).first, "TR119");
  run("CREATE PUBLICATION tailrace_preflight FOR TABLE public.good");
  EXPECT_EQ(refusal(given).first, "");
}

TEST_F(PreflightTest, drop_removes_slot_and_publications_and_may_be_repeated) {
  run("CREATE TABLE public.keyless (v text)");
  FactsInMemory memory;
  RecordingLog log;
  PostgresSource source(spec(), memory, log);
  source.prepare({});
  EXPECT_EQ(run("SELECT FROM pg_publication").size(), 2u);
  source.begin_copy({}, {});
  drop_at_source(spec(), memory.facts, true, true);
  drop_at_source(spec(), memory.facts, true, true);
  EXPECT_TRUE(run("SELECT FROM pg_publication").empty());
  EXPECT_TRUE(run("SELECT FROM pg_replication_slots WHERE database = 'preflight'").empty());
}

TEST_F(PreflightTest, drop_leaves_publications_of_others_alone_and_then_the_slot_too) {
  const auto refused = [this](const std::optional<SourceFacts>& facts) {
    try {
      drop_at_source(spec(), facts, true, true);
      return std::string("nothing was refused");
    } catch (const BadConfigError& error) {
      return error.code() + ": " + error.remedy();
    }
  };
  const std::string remedy =
      "TR141: leave --publication away; if nobody else reads from it: DROP PUBLICATION \"tailrace_preflight\";";
  FactsInMemory memory;
  RecordingLog log;
  PostgresSource source(spec(), memory, log);
  source.prepare({});
  source.begin_copy({}, {});
  EXPECT_TRUE(source.status().made_slot);
  EXPECT_TRUE(source.status().made_publication);
  SourceFacts older = *memory.facts;
  older.made_publications.reset();
  EXPECT_EQ(refused(older), remedy);
  EXPECT_EQ(refused(std::nullopt), remedy);
  run("DROP PUBLICATION tailrace_preflight");
  run("CREATE PUBLICATION tailrace_preflight FOR TABLE public.good");
  EXPECT_EQ(refused(memory.facts), remedy);
  EXPECT_EQ(run("SELECT FROM pg_replication_slots WHERE database = 'preflight'").size(), 1u);
  drop_at_source(spec(), memory.facts, true, false);
  EXPECT_EQ(run("SELECT FROM pg_publication").size(), 1u);
}

TEST_F(PreflightTest, a_server_that_does_not_log_enough_is_told_how_to) {
  run("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
  run("ALTER SYSTEM SET wal_level = replica");
  PrivateCluster::instance().restart("fast");
  EXPECT_EQ(codes(check_source(spec())), std::vector<std::string>{"TR104"});
  EXPECT_EQ(refusal(spec()), Refusal("TR104", ExitCode::kUnreachable));
  sql = PrivateCluster::instance().connect("preflight");
  run("ALTER SYSTEM RESET wal_level");
  PrivateCluster::instance().restart("fast");
  sql = PrivateCluster::instance().connect("preflight");
}

}  // namespace
}  // namespace tailrace::postgres
