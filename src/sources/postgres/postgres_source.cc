#include "sources/postgres/postgres_source.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/log.h"
#include "sources/postgres/adoption.h"
#include "sources/postgres/catalog.h"
#include "sources/postgres/fence.h"
#include "sources/postgres/gap.h"
#include "sources/postgres/identity_watch.h"
#include "sources/postgres/preflight_rules.h"
#include "sources/postgres/publication.h"
#include "sources/postgres/sessions.h"
#include "sources/postgres/slot_watch.h"
#include "sources/postgres/snapshot_copy.h"
#include "sources/postgres/sql_condition.h"
#include "sources/postgres/standby.h"
#include "sources/postgres/status_board.h"
#include "sources/postgres/stream_session.h"
#include "sources/postgres/table_watch.h"
#include "sources/postgres/upgrade.h"

namespace tailrace::postgres {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstBackoff{100};
constexpr milliseconds kLongestBackoff{10'000};
/// For what is asked beside the stream: rows by key, and the end of the WAL.
constexpr std::chrono::seconds kReadPatience{60};
constexpr std::chrono::seconds kAskPatience{10};
constexpr std::chrono::seconds kWatchInterval{5};
constexpr std::chrono::seconds kTableWatchInterval{30};
constexpr std::chrono::seconds kRememberInterval{10};
/// The same failure this often at one place of the log is told as a state of its own.
constexpr int kRecurring = 3;

}  // namespace

class PostgresSource::Impl {
 public:
  Impl(SourceSpec spec, SourceMemory& memory, TransactionLog& log)
      : spec_(std::move(spec)),
        memory_(memory),
        log_(log),
        table_watch_(spec_.tables, spec_.catalog_poll),
        identity_watch_(spec_.tables, spec_.catalog_poll) {
    board_.update([&](SourceStatus& status) { status.slot = spec_.slot; });
  }

  void prepare(std::stop_token stop);
  void accept_gap() { gap_accepted_ = true; }
  void stream(std::stop_token stop);
  /// The fence of the snapshot that the slot exported; nothing when that is gone.
  std::optional<Fence> slot_fence(Connection& holder, const std::string& snapshot);
  std::unique_ptr<SnapshotCopy> begin_copy(std::stop_token stop, const std::vector<sources::TableName>& only);
  Lsn request_current_end();
  SourceStatus status() const { return board_.look(); }
  void check_condition(const sources::TableName& table, const std::string& where) const {
    const auto connection = Connection::open(spec_, ConnectionKind::kSql);
    postgres::check_condition(*connection, table.first, table.second, where);
  }
  FencedRows read_keys(const RelationPtr& relation, const std::vector<std::string>& keys, std::stop_token stop);

 private:
  void prepare_once(const std::optional<SourceFacts>& remembered, const std::stop_token& stop);
  void make_slot(Sessions& sessions, const ServerIdentity& server, const std::optional<SourceFacts>& intended,
                 const std::stop_token& stop);
  void resume(Sessions& sessions, const ServerIdentity& server, const SourceFacts& remembered,
              const std::stop_token& stop);
  /// Remembers and gives the facts with which the stream goes on, its history proved, or begun anew behind a gap.
  SourceFacts go_on(Sessions& sessions, const ServerIdentity& server, const SourceFacts& facts, bool gap_accepted,
                    const std::stop_token& stop);
  /// Whether streaming goes on, behind the gap, after it ended with this.
  bool mends(const Error& error);
  void begin_log(const SourceFacts& facts);
  void run_session(const StopSignal& signal, const std::stop_token& stop);
  void watch(Connection& sql, const std::vector<std::string>& publications, bool holds_back);
  void remember_acknowledged();
  void failed_for_now(const Error& error, int times);
  void tell_waiting(Connection& sql, const std::string& who);
  void no_longer_waiting();
  SourceFacts facts() const {
    const std::lock_guard lock(mutex_);
    return facts_;
  }
  void set_facts(const SourceFacts& facts) {
    memory_.save(facts);
    const std::lock_guard lock(mutex_);
    facts_ = facts;
  }

  SourceSpec spec_;
  SourceMemory& memory_;
  TransactionLog& log_;
  StatusBoard board_;
  /// One that is there when the source is prepared.
  bool gap_accepted_ = false;
  /// The server said so of the slot since it was last proved to be there.
  bool told_lost_ = false;
  TableWatch table_watch_;
  IdentityWatch identity_watch_;
  SteadyClock::time_point last_watch_;
  SteadyClock::time_point last_remembered_;
  SteadyClock::time_point next_table_watch_;
  /// Tables that are wanted but not published: made since the start.
  std::string unpublished_;
  /// Tables that were published when the slot was made and are not any more.
  std::string lost_;

  mutable std::mutex mutex_;
  SourceFacts facts_;
  /// From the slot's making until the first copy: keeps the slot's snapshot.
  std::unique_ptr<Connection> exporter_;
  std::string exported_snapshot_;

  std::mutex asking_mutex_;
  std::unique_ptr<Connection> asking_;
};

void PostgresSource::Impl::failed_for_now(const Error& error, int times) {
  const bool busy_slot = error.code() == "TR112";
  board_.update([&](SourceStatus& status) {
    status.state = busy_slot ? SourceState::kWaitingForSlot : SourceState::kWaitingToReconnect;
    status.problems = {{error.code(), error.what(), error.remedy()}};
    if (times >= kRecurring)
      status.problems.front().what +=
          " (" + std::to_string(times) + " times at " + log_.end().commit_end.str() + " of slot " + spec_.slot + ")";
    ++status.reconnects;
  });
  log::warn("source.retry", "{} [{}]", error.what(), error.code());
}

void PostgresSource::Impl::tell_waiting(Connection& sql, const std::string& who) {
  SourceProblem problem{"TR127", who + " waits for transactions to end: " + describe_running_transactions(sql),
                        "end them, or wait"};
  if (at_standby(sql))
    problem = {"TR127", who + " waits for the primary to log which transactions run",
               "at the primary: SELECT pg_log_standby_snapshot(); it also waits for old transactions there to end"};
  no_longer_waiting();
  board_.update([&](SourceStatus& status) { status.problems.push_back(problem); });
}

void PostgresSource::Impl::no_longer_waiting() {
  board_.update([](SourceStatus& status) {
    std::erase_if(status.problems, [](const SourceProblem& problem) { return problem.code == "TR127"; });
  });
}

void PostgresSource::Impl::prepare(std::stop_token stop) {
  const StopSignal signal(stop);
  milliseconds backoff = kFirstBackoff;
  int times = 0;
  board_.update([](SourceStatus& status) { status.state = SourceState::kConnecting; });
  // A server that was never reached is told to the user at once; one that was is waited for.
  const auto give_up = [&] { return !memory_.load() || stop.stop_requested(); };
  while (true) {
    try {
      return prepare_once(memory_.load(), stop);
    } catch (const RetryError& error) {
      if (give_up()) throw;
      failed_for_now(error, ++times);
    } catch (const ReconnectError& error) {
      if (give_up()) throw;
      failed_for_now(error, ++times);
    }
    signal.sleep_for_ms(static_cast<int>(backoff.count()));
    backoff = std::min(backoff * 2, kLongestBackoff);
  }
}

void PostgresSource::Impl::prepare_once(const std::optional<SourceFacts>& remembered, const std::stop_token& stop) {
  Sessions sessions = open_sessions(spec_, stop);
  const ServerIdentity server = identify_server(*sessions.replication, *sessions.sql);
  board_.update([&](SourceStatus& status) {
    status.server_version = sessions.sql->server_version();
    status.server_version_text = sessions.sql->server_version_text();
    status.system_identifier = server.system_identifier;
    status.server_lsn = server.flushed;
  });
  if (remembered && remembered->consistent_point.valid()) return resume(sessions, server, *remembered, stop);
  make_slot(sessions, server, remembered, stop);
}

void PostgresSource::Impl::make_slot(Sessions& sessions, const ServerIdentity& server,
                                     const std::optional<SourceFacts>& intended, const std::stop_token& stop) {
  if (log_.end().commit_end.valid())
    throw RefusedError("TR118", "there is a log, but what it was read from is not remembered",
                       "delete the whole state directory, or bring its catalog back");
  Connection& sql = *sessions.sql;
  if (intended && !spec_.adopt_slot) drop_unfinished_slot(sql, spec_.slot);
  const std::vector<Candidate> tables = find_candidates(sql, spec_.tables);
  refuse_errors(examine(sql, spec_, tables, false));
  SourceFacts facts;
  facts.system_identifier = server.system_identifier;
  facts.timeline = server.timeline;
  facts.database = server.database;
  facts.slot = spec_.slot;
  facts.publication = spec_.publication;
  facts.protocol = protocol_for(sql.server_version());
  facts.streaming = facts.protocol >= 2 && spec_.streaming != StreamingMode::kOff;
  facts.made_publications = intended ? intended->made_publications : std::vector<Oid>();
  if (!facts.made_publications) facts.made_publications.emplace();
  if (!spec_.adopt_slot) set_facts(facts);
  const std::vector<std::string> publications =
      ensure_publications(sql, spec_, tables, [&](const std::vector<Oid>& made) {
        facts.made_publications->insert(facts.made_publications->end(), made.begin(), made.end());
        set_facts(facts);
      });
  refuse_unfit_publications(sql, spec_, publications, tables);
  NewSlot made;
  if (spec_.adopt_slot) {
    const AdoptedSlot adopted = adopt_slot(sql, spec_, stop, [&] { tell_waiting(sql, "the adopted slot"); });
    made.consistent_point = adopted.confirmed;
    facts.adopted_until = adopted.adopted_until;
  } else {
    made = create_slot(*sessions.replication, spec_.slot, stop, [&] { tell_waiting(sql, "the new slot"); });
  }
  TAILRACE_CRASH_POINT("source.after_slot_created");
  facts.consistent_point = made.consistent_point;
  const std::vector<PublishedTable> published = Catalog(sql).published_tables(publications, spec_.tables);
  facts.published = describe_publication(published);
  facts.tables = read_table_numbers(sql, published, publications).str();
  set_facts(facts);
  board_.update([&](SourceStatus& status) {
    status.made_slot = !spec_.adopt_slot;
    status.made_publication = publications_of_others(sql, publications, *facts.made_publications).empty();
  });
  no_longer_waiting();
  begin_log(facts);
  log::info("source.slot", "slot {} {} at {}", spec_.slot, spec_.adopt_slot ? "was adopted" : "was made",
            made.consistent_point.str());
  if (made.snapshot_name.empty() || spec_.snapshot == SnapshotMode::kNever) return;
  const std::lock_guard lock(mutex_);
  exporter_ = std::move(sessions.replication);
  exported_snapshot_ = std::move(made.snapshot_name);
}

void PostgresSource::Impl::begin_log(const SourceFacts& facts) {
  if (log_.end().commit_end.valid()) return;
  log_.progress(facts.consistent_point);
  log_.sync();
}

void PostgresSource::Impl::resume(Sessions& sessions, const ServerIdentity& server, const SourceFacts& remembered,
                                  const std::stop_token& stop) {
  const auto upgraded = follow_upgrade(*sessions.sql, server, spec_, remembered, log_);
  begin_log(go_on(sessions, server, upgraded ? *upgraded : remembered, gap_accepted_, stop));
  gap_accepted_ = false;
}

SourceFacts PostgresSource::Impl::go_on(Sessions& sessions, const ServerIdentity& server, const SourceFacts& facts,
                                        bool gap_accepted, const std::stop_token& stop) {
  const SourceFacts proved = verify_server(*sessions.replication, server, facts, log_.end());
  GapBridge gap({*sessions.replication, *sessions.sql, spec_, log_,
                 [this](const SourceFacts& accepted) { set_facts(accepted); },
                 [&] { tell_waiting(*sessions.sql, "the new slot"); }});
  SourceFacts now = gap.bridge(proved, read_slot(*sessions.sql, facts.slot),
                               gap_accepted || spec_.on_lost_slot == OnLostSlot::kRepair, stop);
  no_longer_waiting();
  if (now.consistent_point != facts.consistent_point) {
    const std::lock_guard lock(mutex_);
    exporter_.reset();
  }
  verify_slot(read_slot(*sessions.sql, now.slot), now, log_.end());
  set_facts(now);
  return now;
}

bool PostgresSource::Impl::mends(const Error& error) {
  const bool lost = error.code() == "TR114" || error.code() == "TR115";
  // Told again of a slot that the catalog shows to be well: that is something else.
  if (!lost || spec_.on_lost_slot != OnLostSlot::kRepair || spec_.adopt_slot) return false;
  return !std::exchange(told_lost_, true);
}

void PostgresSource::Impl::stream(std::stop_token stop) {
  const StopSignal signal(stop);
  milliseconds backoff = kFirstBackoff;
  int times = 0;
  while (!stop.stop_requested()) {
    const Lsn before = log_.end().commit_end;
    try {
      run_session(signal, stop);
      continue;
    } catch (const RetryError& error) {
      if (stop.stop_requested()) break;
      times = log_.end().commit_end == before ? times + 1 : 1;
      failed_for_now(error, times);
    } catch (const ReconnectError& error) {
      if (stop.stop_requested()) break;
      times = log_.end().commit_end == before ? times + 1 : 1;
      failed_for_now(error, times);
    } catch (const Error& error) {
      if (mends(error)) continue;
      board_.update([&](SourceStatus& status) {
        status.state = SourceState::kFailed;
        status.problems = {{error.code(), error.what(), error.remedy()}};
      });
      throw;
    }
    if (times == 1) backoff = kFirstBackoff;
    signal.sleep_for_ms(static_cast<int>(backoff.count()));
    backoff = std::min(backoff * 2, kLongestBackoff);
  }
  remember_acknowledged();
  board_.update([](SourceStatus& status) { status.state = SourceState::kStopped; });
}

void PostgresSource::Impl::run_session(const StopSignal& signal, const std::stop_token& stop) {
  Sessions sessions = open_sessions(spec_, stop);
  const ServerIdentity server = identify_server(*sessions.replication, *sessions.sql);
  SourceFacts now = go_on(sessions, server, facts(), false, stop);
  now.protocol = protocol_for(sessions.sql->server_version());
  now.streaming = now.protocol >= 2 && spec_.streaming != StreamingMode::kOff;
  set_facts(now);
  const std::vector<std::string> publications = existing_publications(*sessions.sql, spec_);
  if (publications.empty() || publications.front() != spec_.publication)
    throw RefusedError("TR119", "publication \"" + spec_.publication + "\" does not exist any more",
                       "start a new pipeline with a copy: what happened meanwhile was not published");
  SessionOptions options;
  options.status_interval = status_interval(*sessions.replication);
  options.silence_limit = spec_.silence_limit;
  options.adopted_until = now.adopted_until;
  Lsn asked = overlap_begin(log_, now.consistent_point);
  // Behind that a transaction may be prepared which we have not got for good.
  auto slot = read_slot(*sessions.sql, spec_.slot);
  if (slot && slot->two_phase) asked = std::min(asked, slot->confirmed);
  const bool parallel = spec_.streaming == StreamingMode::kParallel && now.protocol >= 4;
  options.start_command = start_command(*sessions.replication, now, publications, parallel, asked);
  Catalog catalog(*sessions.sql, now.upgraded_to == 0 ? publications : std::vector<std::string>());
  StreamSession session(
      open_channel(*sessions.replication), log_, [&](ByteView message) { return catalog.resolve(message); }, options,
      board_, signal);
  session.start();
  // Only now that the slot is ours does its place stand still: an earlier reader may have confirmed more meanwhile.
  slot = read_slot(*sessions.sql, spec_.slot);
  verify_slot(slot, now, log_.end());
  log::info("source.streaming", "streaming from slot {} at {}", spec_.slot, log_.end().commit_end.str());
  told_lost_ = false;
  board_.update([](SourceStatus& status) { status.problems.clear(); });
  last_watch_ = {};
  table_watch_.begin(facts().tables);
  session.run(Overlap(log_, std::max(asked, slot->confirmed)), [&] {
    watch(*sessions.sql, publications, session.holds_back());
    if (const auto tables = table_watch_.tick(session, log_, *sessions.sql, catalog, publications)) {
      SourceFacts told = facts();
      told.tables = *tables;
      set_facts(told);
    }
  });
}

void PostgresSource::Impl::watch(Connection& sql, const std::vector<std::string>& publications, bool holds_back) {
  const auto now = SteadyClock::now();
  if (now - last_remembered_ >= kRememberInterval) remember_acknowledged();
  // A server that shuts down waits until it is told that all was received, which a prepared transaction prevents; our
  // other session ends at once and tells of it.
  const bool told = identity_watch_.tick(sql, publications);
  if (!told && now - last_watch_ < kWatchInterval && !(holds_back && sql.has_news())) return;
  last_watch_ = now;
  const auto slot = read_slot(sql, spec_.slot);
  const Lsn end = sql.query(std::string("SELECT ") + kWalEnd, "watching the slot").lsn(0, 0);
  if (now >= next_table_watch_) {
    unpublished_ = unpublished_tables(sql, publications, find_candidates(sql, spec_.tables));
    lost_ =
        lost_tables(facts().published, describe_publication(Catalog(sql).published_tables(publications, spec_.tables)));
    const auto took = SteadyClock::now() - now;
    next_table_watch_ = now + std::max<SteadyClock::duration>(kTableWatchInterval, took * kLookShare);
  }
  const ServerBurden burden = read_burden(sql, spec_.slot);
  auto problems = slot ? slot_problems(sql, spec_.slot, *slot, burden) : std::vector<SourceProblem>();
  problems.insert(problems.end(), identity_watch_.problems().begin(), identity_watch_.problems().end());
  board_.update([&](SourceStatus& status) {
    status.server_lsn = std::max(status.server_lsn, end);
    status.problems = std::move(problems);
    status.slot_age = burden.slot_age;
    status.snapshot_age = burden.snapshot_age;
    if (slot) {
      status.wal_status = slot->wal_status;
      status.safe_wal_bytes = slot->safe_wal_bytes;
    }
    if (!lost_.empty())
      status.problems.push_back({"TR134",
                                 "no longer followed, since dropped or not in the publication any more: " + lost_,
                                 "put them back into the publication: they are then copied again"});
    if (!unpublished_.empty())
      status.problems.push_back({"TR133", "not followed, since not in the publication: " + unpublished_,
                                 "start a pipeline that covers them, or exclude them by name"});
  });
}

void PostgresSource::Impl::remember_acknowledged() {
  last_remembered_ = SteadyClock::now();
  SourceFacts now = facts();
  if (!now.consistent_point.valid() || now.acknowledged >= log_.durable_end()) return;
  now.acknowledged = log_.durable_end();
  set_facts(now);
}

std::optional<Fence> PostgresSource::Impl::slot_fence(Connection& holder, const std::string& snapshot) {
  try {
    Fence fence = begin_fence_on(holder, snapshot);
    // The slot's own snapshot contains exactly what ended up to the slot's beginning, so that its rows stand there.
    fence.end = facts().consistent_point;
    return fence;
  } catch (const RefusedError& error) {
    log::warn("source.copy", "the slot's snapshot is gone with its connection, a younger one is taken: {}",
              error.what());
    return std::nullopt;
  }
}

std::unique_ptr<SnapshotCopy> PostgresSource::Impl::begin_copy(std::stop_token stop,
                                                               const std::vector<sources::TableName>& only) {
  std::unique_ptr<Connection> exporter;
  std::string snapshot_name;
  if (only.empty()) {
    const std::lock_guard lock(mutex_);
    exporter = std::move(exporter_);
    snapshot_name = std::move(exported_snapshot_);
  }
  auto holder = Connection::open(spec_, ConnectionKind::kSql, stop);
  holder->give_up_on(stop);
  std::optional<Fence> fence;
  if (exporter) fence = slot_fence(*holder, snapshot_name);
  if (!fence) {
    // A transaction that failed is of no more use.
    if (exporter) {
      holder = Connection::open(spec_, ConnectionKind::kSql, stop);
      holder->give_up_on(stop);
    }
    fence = begin_settled_fence(*holder, stop, [&] { tell_waiting(*holder, "a copy"); });
  }
  no_longer_waiting();
  // Exported again by the holder, so that the connection which made the slot is free to go.
  snapshot_name = holder->query("SELECT pg_export_snapshot()", "exporting the copy's snapshot").at(0, 0);
  exporter.reset();
  const std::vector<std::string> publications = existing_publications(*holder, spec_);
  Catalog catalog(*holder, facts().upgraded_to == 0 ? publications : std::vector<std::string>());
  std::vector<TableToCopy> tables = tables_to_copy(*holder, catalog, fence->end, spec_, only);
  return std::make_unique<SnapshotCopy>(spec_, std::move(holder), std::move(snapshot_name), *fence, std::move(tables),
                                        log_.scratch_directory());
}

Lsn PostgresSource::Impl::request_current_end() {
  const std::lock_guard lock(asking_mutex_);
  // A connection kept from the last time may be gone by now.
  if (asking_) {
    try {
      asking_->give_up_on({}, SteadyClock::now() + kAskPatience);
      return ask_current_end(*asking_);
    } catch (const Error&) {
      asking_.reset();
    }
  }
  auto connection = Connection::open(spec_, ConnectionKind::kSql);
  connection->give_up_on({}, SteadyClock::now() + kAskPatience);
  const Lsn end = ask_current_end(*connection);
  asking_ = std::move(connection);
  return end;
}

FencedRows PostgresSource::Impl::read_keys(const RelationPtr& relation, const std::vector<std::string>& keys,
                                           std::stop_token stop) {
  const auto connection = Connection::open(spec_, ConnectionKind::kSql, stop);
  connection->give_up_on(stop, SteadyClock::now() + kReadPatience);
  FencedRows read = postgres::read_keys(*connection, relation, keys);
  ask_current_end(*connection);
  return read;
}

PostgresSource::PostgresSource(SourceSpec spec, SourceMemory& memory, TransactionLog& log)
    : impl_(std::make_unique<Impl>(std::move(spec), memory, log)) {}
PostgresSource::~PostgresSource() = default;

void PostgresSource::check_condition(const sources::TableName& table, const std::string& where) {
  impl_->check_condition(table, where);
}
void PostgresSource::accept_gap() { impl_->accept_gap(); }
void PostgresSource::prepare(std::stop_token stop) { impl_->prepare(std::move(stop)); }
void PostgresSource::stream(std::stop_token stop) { impl_->stream(std::move(stop)); }
std::unique_ptr<sources::Copy> PostgresSource::begin_copy(std::stop_token stop,
                                                          const std::vector<sources::TableName>& only) {
  return impl_->begin_copy(std::move(stop), only);
}
FencedRows PostgresSource::read_keys(const RelationPtr& relation, const std::vector<std::string>& keys,
                                     std::stop_token stop) {
  return impl_->read_keys(relation, keys, std::move(stop));
}
SourceStatus PostgresSource::status() const { return impl_->status(); }
Lsn PostgresSource::request_current_end() { return impl_->request_current_end(); }

}  // namespace tailrace::postgres
