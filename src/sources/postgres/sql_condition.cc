#include "sources/postgres/sql_condition.h"

#include <libpq-fe.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>

#include "base/error.h"
#include "sources/postgres/connection.h"

namespace tailrace::postgres {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

bool is_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
         byte >= 0x80;
}

/// The place behind a text that is quoted from `at` on; kNone when it does not end.
std::size_t behind_quotes(std::string_view text, std::size_t at, bool escapes) {
  const char quote = text[at];
  for (++at; at < text.size(); ++at) {
    if (escapes && text[at] == '\\') {
      ++at;
    } else if (text[at] == quote) {
      if (at + 1 == text.size() || text[at + 1] != quote) return at + 1;
      ++at;
    }
  }
  return kNone;
}

/// Behind a text in dollar quotes, or behind the dollar where it begins none.
std::size_t behind_dollar(std::string_view text, std::size_t at) {
  const std::size_t end = text.find('$', at + 1);
  if (end == kNone) return at + 1;
  const std::string_view tag = text.substr(at, end + 1 - at);
  for (const char c : tag.substr(1, tag.size() - 2))
    if (!is_word(c)) return at + 1;
  if (tag.size() > 2 && tag[1] >= '0' && tag[1] <= '9') return at + 1;
  const std::size_t close = text.find(tag, end + 1);
  return close == kNone ? kNone : close + tag.size();
}

/// Comments nest.
std::size_t behind_comment(std::string_view text, std::size_t at) {
  int depth = 0;
  while (at + 1 < text.size()) {
    const std::string_view two = text.substr(at, 2);
    if (two == "/*") {
      ++depth;
      at += 2;
    } else if (two == "*/") {
      at += 2;
      if (--depth == 0) return at;
    } else {
      ++at;
    }
  }
  return kNone;
}

/// Behind what begins at `at` and holds no syntax; `at` itself where nothing such begins there.
std::size_t behind_opaque(std::string_view text, std::size_t at) {
  const char c = text[at];
  const bool in_word = at > 0 && is_word(text[at - 1]);
  if (c == '\'') {
    const bool escapes = in_word && (text[at - 1] == 'e' || text[at - 1] == 'E') && (at == 1 || !is_word(text[at - 2]));
    return behind_quotes(text, at, escapes);
  }
  if (c == '"') return behind_quotes(text, at, false);
  if (c == '$' && !in_word) return behind_dollar(text, at);
  if (text.substr(at, 2) == "--") return std::min(text.find('\n', at), text.size());
  if (text.substr(at, 2) == "/*") return behind_comment(text, at);
  return at;
}

}  // namespace

std::string flaw_of_condition(std::string_view text) {
  int depth = 0;
  bool empty = true;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    const std::size_t behind = behind_opaque(text, at);
    if (behind == kNone) return "a quoted text or a comment in it does not end";
    if (c == '\0') return "it holds a zero byte";
    if (behind > at) {
      empty = empty && (c == '-' || c == '/');
      at = behind;
      continue;
    }
    if (c == ';') return "it holds a semicolon";
    if (c == '(') ++depth;
    if (c == ')' && --depth < 0) return "it closes a parenthesis that it did not open";
    empty = empty && (c == ' ' || c == '\t' || c == '\n' || c == '\r');
    ++at;
  }
  if (depth > 0) return "it opens a parenthesis that it does not close";
  return empty ? "it is empty" : "";
}

void refuse_condition(const std::string& table, const std::string& why) {
  throw BadConfigError("TR642", "the condition cannot be asked of " + table + ": " + why,
                       "give what could stand behind WHERE in a query on that table alone, with its columns' names");
}

void check_condition(Connection& sql, const std::string& schema, const std::string& table, const std::string& where) {
  const std::string shown = schema + "." + table;
  if (const std::string flaw = flaw_of_condition(where); !flaw.empty()) refuse_condition(shown, flaw);
  sql.query("BEGIN READ ONLY; SET LOCAL statement_timeout = '10s'; SET LOCAL lock_timeout = '2s'",
            "checking a condition");
  const std::string head = "SELECT FROM " + sql.quoted_name(schema) + "." + sql.quoted_name(table) + " WHERE (\n";
  const std::string statement = head + where + "\n) LIMIT 0";
  // The form that takes parameters takes one statement only. What the server says of it goes to who wrote it, so that
  // nothing of it is left out.
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(
      PQexecParams(sql.handle(), statement.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0), &PQclear);
  if (PQresultStatus(result.get()) == PGRES_TUPLES_OK) return;
  const char* message = PQresultErrorField(result.get(), PG_DIAG_MESSAGE_PRIMARY);
  if (message == nullptr)
    throw ReconnectError("TR130", "the connection was lost while a condition was checked", "try again");
  std::string why = message;
  const char* position = PQresultErrorField(result.get(), PG_DIAG_STATEMENT_POSITION);
  const std::size_t at = position == nullptr ? 0 : std::strtoul(position, nullptr, 10);
  if (at > head.size() && at <= head.size() + where.size())
    why += " (at character " + std::to_string(at - head.size()) + ")";
  refuse_condition(shown, why);
}

}  // namespace tailrace::postgres
