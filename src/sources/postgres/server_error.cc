#include "sources/postgres/server_error.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/error.h"

namespace tailrace::postgres {
namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

bool one_of(std::string_view value, std::initializer_list<std::string_view> list) {
  for (const auto item : list)
    if (value == item) return true;
  return false;
}

[[noreturn]] void throw_slot_state(const std::string& what, std::string_view message) {
  if (contains(message, "can no longer get changes") || contains(message, "invalidated") ||
      contains(message, "no longer be accessed"))
    throw RefusedError("TR114", what, kBehindGap);
  if (contains(message, "recovery"))
    throw RetryError("TR132", what, "none needed if the server is coming up; else connect to the primary");
  if (contains(message, "wal_level"))
    throw RefusedError("TR104", what, "ALTER SYSTEM SET wal_level = logical; then restart the server");
  throw RefusedError("TR128", what, "mend what the server names; the stream then goes on by itself");
}

[[noreturn]] void throw_resources(const std::string& what, std::string_view message) {
  if (contains(message, "replication slots"))
    throw RefusedError("TR108", what, "drop an unused slot, or raise max_replication_slots and restart the server");
  throw RetryError("TR109", what, "wait, or raise the limit that the server names");
}

[[noreturn]] void throw_rights(const std::string& what, std::string_view message) {
  // "WAL sender": from version 16 on.
  if (contains(message, "replication") || contains(message, "REPLICATION") || contains(message, "WAL sender"))
    throw RefusedError("TR105", what, "ALTER ROLE <role> REPLICATION;");
  throw RefusedError("TR106", what, "GRANT SELECT ON <table> TO <role>; (own the tables to create a publication)");
}

[[noreturn]] void throw_authentication(const std::string& what) {
  throw RefusedError("TR103", what, "check user, password and pg_hba.conf (a line for the database is needed)");
}

/// What libpq says of TLS when it, not the network, is in the way.
bool is_about_tls(std::string_view text) {
  static constexpr std::array kWords = {std::string_view("certificate verify failed"),
                                        std::string_view("does not match host name"),
                                        std::string_view("root certificate"),
                                        std::string_view("certificate file"),
                                        std::string_view("private key file"),
                                        std::string_view("does not support SSL"),
                                        std::string_view(" alert "),
                                        std::string_view("channel binding")};
  return std::ranges::any_of(kWords, [&](std::string_view word) { return contains(text, word); });
}

/// "FATAL:  28P01: message" somewhere in libpq's verbose text.
ServerError find_sqlstate(std::string_view text) {
  static constexpr std::array kSeverities = {std::string_view("FATAL:  "), std::string_view("ERROR:  ")};
  for (const auto severity : kSeverities) {
    const auto at = text.rfind(severity);
    if (at == std::string_view::npos) continue;
    std::string_view rest = text.substr(at + severity.size());
    rest = rest.substr(0, rest.find('\n'));
    if (rest.size() > 7 && rest[5] == ':') return {std::string(rest.substr(0, 5)), std::string(rest.substr(7))};
    return {{}, std::string(rest)};
  }
  return {};
}

std::string_view first_line(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text.substr(0, text.find('\n'));
}

}  // namespace

std::string ServerError::shown() const {
  // These speak of the session, the server or the catalog. Types (22), constraints (23), functions (P0, 38, 39),
  // foreign servers (HV) and what extensions raise (XX000) may speak of data; 42601 is also what a type says of its
  // input.
  const std::string_view kind = std::string_view(sqlstate).substr(0, 2);
  const bool harmless =
      sqlstate.empty() ||
      one_of(kind, {"08", "0A", "25", "28", "2B", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"}) ||
      one_of(sqlstate, {"XX001", "XX002"});
  if (harmless && sqlstate != "42601") return message;
  return "an error whose text is left out, since it may repeat values of rows (SQLSTATE " + sqlstate + ")";
}

ServerError parse_server_error(std::string_view body) {
  ServerError error;
  ByteReader in(body);
  try {
    while (!in.empty()) {
      const char field = static_cast<char>(in.u8());
      if (field == 0) break;
      const ByteView value = in.c_string();
      if (field == 'C') error.sqlstate = value;
      if (field == 'M') error.message = value;
    }
  } catch (const OutOfBytes&) {
    if (error.message.empty()) error.message = "an error report that cannot be read";
  }
  return error;
}

void throw_server_error(const ServerError& error, std::string_view doing) {
  const std::string& state = error.sqlstate;
  std::string what = "PostgreSQL refused while " + std::string(doing) + ": " + error.shown();
  if (state.empty() || state.starts_with("08") || one_of(state, {"57P01", "57P02", "57P05", "25P03", "25P04"}))
    throw ReconnectError("TR130", what, "none needed: the connection is made again");
  if (state == "57P03") throw RetryError("TR101", what, "none needed: the server is starting or stopping");
  if (state == "55006") throw RetryError("TR112", what, "stop the other reader of the slot, or wait until it ends");
  if (one_of(state, {"40001", "40P01", "55P03", "57014", "58030", "53100"}))
    throw RetryError("TR130", what, "none needed: it is tried again");
  if (state.starts_with("53")) throw_resources(what, error.message);
  if (state == "55000") throw_slot_state(what, error.message);
  if (state == "42501") throw_rights(what, error.message);
  if (state.starts_with("28")) throw_authentication(what);
  if (state == "3D000") throw RefusedError("TR102", what, "name an existing database in the address");
  if (state == "25006") throw RefusedError("TR106", what, "let the role write, or connect to the primary");
  if (state == "58P01" && contains(error.message, "already been removed"))
    throw RefusedError("TR114", what, kBehindGap);
  if (state == "42704" && contains(error.message, "replication slot")) throw RefusedError("TR115", what, kBehindGap);
  if (one_of(state, {"42P01", "42703", "42704", "42710", "42601", "0A000", "22023"}))
    throw RefusedError("TR119", what, "put back what the server misses, or start anew with a copy");
  throw ReconnectError("TR128", what + " (" + state + ")", "mend what the server names; the stream goes on by itself");
}

void throw_connection_error(std::string_view libpq_message) {
  const ServerError error = find_sqlstate(libpq_message);
  const std::string what = "cannot connect to PostgreSQL: " +
                           (error.message.empty() ? std::string(first_line(libpq_message)) : error.message);
  const std::string& state = error.sqlstate;
  if (state == "28P01" || state == "28000" || contains(libpq_message, "no password supplied") ||
      contains(libpq_message, "authentication method"))
    throw_authentication(what);
  if (state == "3D000") throw RefusedError("TR102", what, "name an existing database in the address");
  if (state == "42501") throw_rights(what, error.message);
  if (state == "53300") throw_resources(what, error.message);
  if (state.empty() && (contains(libpq_message, "invalid port number") ||
                        contains(libpq_message, "invalid integer value") || contains(libpq_message, "value: \"")))
    throw BadConfigError("TR129", what, "give a URI such as postgresql://user@host:5432/database");
  if (state.empty() && is_about_tls(libpq_message))
    throw RefusedError("TR135", what,
                       "check sslmode, sslrootcert and the server's certificate; for a client certificate sslcert and "
                       "sslkey");
  if (state == "08P01" && contains(error.message, "unsupported startup parameter"))
    throw RefusedError("TR110", what, "connect to PostgreSQL itself: a pooler cannot carry replication");
  throw RetryError("TR101", what, "check host and port, and that the server runs and lets this machine in");
}

}  // namespace tailrace::postgres
