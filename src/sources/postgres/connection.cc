#include "sources/postgres/connection.h"

#include <libpq-fe.h>
#include <poll.h>

#include <charconv>
#include <utility>

#include "base/error.h"
#include "base/time.h"
#include "sources/postgres/server_error.h"

namespace tailrace::postgres {
namespace {

template <typename Number>
Number parse_number(std::string_view text) {
  if (text.empty()) return 0;
  Number value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) throw DefectError("a number was expected from the server");
  return value;
}

/// What the text form of values depends on, time-outs that would end a session which waits on purpose, and defaults
/// that would keep it from making publication and slot. A role's or a database's own defaults may say anything else.
/// The little that we write need not wait for standbys. Valid on PostgreSQL 13 to 18. Any extra_float_digits above 0
/// gives the shortest exact form there. row_security off makes a read that policies would shorten fail instead. To
/// compile a look at 10,000 tables takes the server five times as long as to interpret it.
constexpr const char* kSettings =
    "SET statement_timeout = 0; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = postgres; SET TimeZone = 'UTC'; SET "
    "extra_float_digits = 3; "
    "SET bytea_output = hex; SET lc_monetary = 'C'; SET search_path = ''; SET quote_all_identifiers = off; "
    "SET lock_timeout = '30s'; SET idle_in_transaction_session_timeout = 0; "
    "SET row_security = off; SET default_transaction_deferrable = off; SET default_transaction_read_only = off; "
    "SET default_transaction_isolation = 'read committed'; SET synchronize_seqscans = off; "
    "SET synchronous_commit = local; SET jit = off;";

/// Refuses what libpq cannot read before it takes it for a database's name. Its own message may repeat a secret.
void check_conninfo(const std::string& conninfo) {
  const bool recognised = conninfo.starts_with("postgresql://") || conninfo.starts_with("postgres://") ||
                          conninfo.find('=') != std::string::npos || conninfo.empty();
  char* message = nullptr;
  PQconninfoOption* options = recognised ? PQconninfoParse(conninfo.c_str(), &message) : nullptr;
  const bool good = options != nullptr;
  PQconninfoFree(options);
  PQfreemem(message);
  if (!good)
    throw BadConfigError("TR129", "the source's address cannot be read",
                         "give a URI such as postgresql://user@host:5432/database");
}

void ignore_notice(void*, const PGresult*) {}

}  // namespace

void Rows::Clear::operator()(pg_result* result) const { PQclear(result); }

Rows::Rows(pg_result* result) : result_(result), rows_(static_cast<std::size_t>(PQntuples(result))) {}

std::string_view Rows::at(std::size_t row, std::size_t column) const {
  const int r = static_cast<int>(row);
  const int c = static_cast<int>(column);
  return {PQgetvalue(result_.get(), r, c), static_cast<std::size_t>(PQgetlength(result_.get(), r, c))};
}

bool Rows::is_null(std::size_t row, std::size_t column) const {
  return PQgetisnull(result_.get(), static_cast<int>(row), static_cast<int>(column)) != 0;
}

std::int64_t Rows::number(std::size_t row, std::size_t column) const {
  return parse_number<std::int64_t>(at(row, column));
}

std::uint64_t Rows::unsigned_number(std::size_t row, std::size_t column) const {
  return parse_number<std::uint64_t>(at(row, column));
}

Oid Rows::oid(std::size_t row, std::size_t column) const { return Oid(parse_number<std::uint32_t>(at(row, column))); }

Lsn Rows::lsn(std::size_t row, std::size_t column) const { return Lsn::parse(at(row, column)).value_or(Lsn()); }

std::unique_ptr<Connection> Connection::open(const SourceSpec& spec, ConnectionKind kind, std::stop_token stop) {
  check_conninfo(spec.conninfo);
  std::string failures;
  const std::vector<ServerPlace> places = places_of(spec.conninfo);
  for (const ServerPlace& place : places) {
    try {
      return open_at(place, spec, kind, stop);
    } catch (const RetryError& error) {
      if (stop.stop_requested() || places.size() == 1) throw;
      failures += (failures.empty() ? "" : "; ") + place.host + ":" + place.port + ": " + error.what();
    }
  }
  throw RetryError("TR101", "no server of the list can be used: " + failures,
                   "check hosts, ports and target_session_attrs");
}

std::unique_ptr<Connection> Connection::open_at(const ServerPlace& place, const SourceSpec& spec, ConnectionKind kind,
                                                std::stop_token stop) {
  const std::string silence = std::to_string(std::chrono::milliseconds(spec.silence_limit).count());
  // What stands before dbname may be overridden by the conninfo, what stands after it may not.
  std::vector<std::pair<const char*, const char*>> options = {
      {"application_name", "tailrace"}, {"tcp_user_timeout", silence.c_str()}, {"keepalives_idle", "30"},
      {"keepalives_interval", "10"},    {"dbname", spec.conninfo.c_str()},     {"client_encoding", "UTF8"},
      {"gssencmode", "disable"}};
  if (kind == ConnectionKind::kReplication) options.emplace_back("replication", "database");
  for (const auto& [name, value] :
       {std::pair("host", &place.host), std::pair("hostaddr", &place.hostaddr), std::pair("port", &place.port),
        std::pair("target_session_attrs", &place.target_session_attrs)})
    if (!value->empty()) options.emplace_back(name, value->c_str());
  std::vector<const char*> names;
  std::vector<const char*> values;
  for (const auto& [name, value] : options) {
    names.push_back(name);
    values.push_back(value);
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  PGconn* raw = PQconnectStartParams(names.data(), values.data(), 1);
  if (raw == nullptr) throw RetryError("TR101", "no memory for a connection", "free some memory");
  std::unique_ptr<Connection> connection(new Connection(raw));
  connection->silence_limit_ = spec.silence_limit;
  const auto deadline = SteadyClock::now() + spec.connect_timeout;
  connection->finish_connecting(stop, deadline);
  connection->give_up_on(std::move(stop), deadline);
  connection->pin_settings(kind);
  connection->give_up_on({});
  return connection;
}

Connection::~Connection() { PQfinish(connection_); }

void Connection::finish_connecting(const std::stop_token& stop, SteadyClock::time_point deadline) {
  // With verbose errors a refusal carries its SQLSTATE, which libpq does not give otherwise here.
  PQsetErrorVerbosity(connection_, PQERRORS_VERBOSE);
  PQsetNoticeReceiver(connection_, ignore_notice, nullptr);
  if (PQstatus(connection_) == CONNECTION_BAD) throw_connection_error(PQerrorMessage(connection_));
  PostgresPollingStatusType wanted = PGRES_POLLING_WRITING;
  while (wanted != PGRES_POLLING_OK) {
    if (wanted == PGRES_POLLING_FAILED) throw_connection_error(PQerrorMessage(connection_));
    pollfd wait{PQsocket(connection_), static_cast<short>(wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
    const int ready = poll(&wait, 1, 100);
    if (stop.stop_requested()) throw RetryError("TR101", "stopped while connecting", "start again");
    if (SteadyClock::now() > deadline)
      throw RetryError("TR101", "cannot connect to PostgreSQL: no answer in time", "check host, port and firewall");
    if (ready > 0) wanted = PQconnectPoll(connection_);
  }
  PQsetErrorVerbosity(connection_, PQERRORS_DEFAULT);
}

void Connection::pin_settings(ConnectionKind kind) {
  std::string sql = kSettings;
  // A condition of the user's is read by our own rules first.
  sql += " SET standard_conforming_strings = on;";
  if (server_version() >= 140000) sql += " SET idle_session_timeout = 0;";
  if (server_version() >= 170000) sql += " SET transaction_timeout = 0;";
  if (kind == ConnectionKind::kReplication) sql += " SET lock_timeout = 0;";
  // Such a database may hold any bytes. As UTF-8 the server would refuse those that are none, and every try with them;
  // unconverted they come, and a target refuses the single value.
  const char* encoding = PQparameterStatus(connection_, "server_encoding");
  if (encoding != nullptr && std::string_view(encoding) == "SQL_ASCII") sql += " SET client_encoding = 'SQL_ASCII';";
  query(sql, "setting up the session");
}

Rows Connection::checked(pg_result* result, std::string_view doing) {
  Rows rows(result);
  switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY: return rows;
    default: break;
  }
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  ServerError error{state == nullptr ? "" : state, message == nullptr ? "" : message};
  if (error.message.empty()) error.message = "the connection was lost";
  throw_server_error(error, doing);
}

void Connection::give_up_on(std::stop_token stop, SteadyClock::time_point deadline) {
  stop_ = std::move(stop);
  deadline_ = deadline;
}

void Connection::await(short events, std::string_view doing) {
  constexpr int kMomentMs = 50;
  pollfd wait{PQsocket(connection_), events, 0};
  if (poll(&wait, 1, kMomentMs) > 0) {
    last_heard_ = SteadyClock::now();
    return;
  }
  if (stop_.stop_requested()) throw RetryError("TR101", "stopped while " + std::string(doing), "start again");
  if (SteadyClock::now() > deadline_)
    throw RetryError("TR101", "PostgreSQL gave no answer in time while " + std::string(doing),
                     "see whether the server and the network work; it is tried again");
  if (SteadyClock::now() > last_heard_ + silence_limit_)
    throw ReconnectError("TR130", "PostgreSQL said nothing any more while " + std::string(doing),
                         "none needed: the connection is made again");
}

Rows Connection::finish_query(bool queued, std::string_view doing) {
  last_heard_ = SteadyClock::now();
  for (int left = queued ? PQflush(connection_) : -1; left != 0; left = PQflush(connection_)) {
    if (left < 0) throw_server_error({"", "the connection was lost"}, doing);
    await(POLLIN | POLLOUT, doing);
    // A server that answers already may take nothing until that is read. What fails here fails again above.
    PQconsumeInput(connection_);
  }
  PQsetnonblocking(connection_, 0);
  std::unique_ptr<pg_result, decltype(&PQclear)> last(nullptr, PQclear);
  while (true) {
    // On a connection that is gone PQgetResult() says so at once.
    bool alive = true;
    while (alive && PQisBusy(connection_) != 0) {
      await(POLLIN, doing);
      alive = PQconsumeInput(connection_) != 0;
    }
    pg_result* next = PQgetResult(connection_);
    if (next == nullptr) break;
    // The first failure tells why; the connection may end after it.
    if (last && PQresultStatus(last.get()) == PGRES_FATAL_ERROR)
      PQclear(next);
    else
      last.reset(next);
  }
  return checked(last.release(), doing);
}

Rows Connection::query(const std::string& sql, std::string_view doing) {
  PQsetnonblocking(connection_, 1);
  return finish_query(PQsendQuery(connection_, sql.c_str()) != 0, doing);
}

Rows Connection::query(const std::string& sql, const std::vector<std::string>& parameters, std::string_view doing) {
  std::vector<const char*> values;
  for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
  const int count = static_cast<int>(values.size());
  PQsetnonblocking(connection_, 1);
  return finish_query(
      PQsendQueryParams(connection_, sql.c_str(), count, nullptr, values.data(), nullptr, nullptr, 0) != 0, doing);
}

std::string Connection::quoted_name(std::string_view name) const {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

std::string Connection::quoted_text(std::string_view text) const {
  char* quoted = PQescapeLiteral(connection_, text.data(), text.size());
  if (quoted == nullptr) throw BadConfigError("TR129", "a name is not valid UTF-8", "give it in UTF-8");
  std::string out(quoted);
  PQfreemem(quoted);
  return out;
}

int Connection::server_version() const { return PQserverVersion(connection_); }

std::string Connection::server_version_text() const {
  const char* text = PQparameterStatus(connection_, "server_version");
  return text == nullptr ? "" : text;
}

bool Connection::has_news() const {
  pollfd look{PQsocket(connection_), POLLIN, 0};
  return poll(&look, 1, 0) > 0;
}

ServerPlace Connection::place() const {
  const auto text = [](const char* value) { return value == nullptr ? std::string() : std::string(value); };
  return {text(PQhost(connection_)), text(PQhostaddr(connection_)), text(PQport(connection_)), "any"};
}

int Connection::backend_pid() const { return PQbackendPID(connection_); }

}  // namespace tailrace::postgres
