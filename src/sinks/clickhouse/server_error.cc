#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"
#include "sinks/clickhouse/connection.h"
#include "sinks/row_target.h"

// What an error of the server means for us.
namespace tailrace::clickhouse {
namespace {

/// Busy, away or out of room: 3 UNEXPECTED_END_OF_FILE, 107 FILE_DOESNT_EXIST, 159 TIMEOUT_EXCEEDED, 164 READONLY,
/// 202 TOO_MANY_SIMULTANEOUS_QUERIES, 203 NO_FREE_CONNECTION, 209 SOCKET_TIMEOUT, 210 NETWORK_ERROR, 225 NO_ZOOKEEPER,
/// 236 ABORTED, 241 MEMORY_LIMIT_EXCEEDED, 242 TABLE_IS_READ_ONLY, 243 NOT_ENOUGH_SPACE, 252 TOO_MANY_PARTS,
/// 285 TOO_FEW_LIVE_REPLICAS, 319 UNKNOWN_STATUS_OF_INSERT, 394 QUERY_WAS_CANCELLED, 425 SYSTEM_ERROR,
/// 439 CANNOT_SCHEDULE_TASK, 999 KEEPER_EXCEPTION, 1000 to 1002 (an exception of another kind).
constexpr std::array kLater = {3,   107, 159, 164, 202, 203, 209, 210, 225,  236,  241, 242,
                               243, 252, 285, 319, 394, 425, 439, 999, 1000, 1001, 1002};
/// 192 UNKNOWN_USER, 193 WRONG_PASSWORD, 194 REQUIRED_PASSWORD, 195 IP_ADDRESS_NOT_ALLOWED, 497 ACCESS_DENIED,
/// 516 AUTHENTICATION_FAILED.
constexpr std::array kNotLetIn = {192, 193, 194, 195, 497, 516};
/// Of an INSERT, about its rows: 6 CANNOT_PARSE_TEXT, 26 to 28, 33 CANNOT_READ_ALL_DATA, 38, 41, 69
/// ARGUMENT_OUT_OF_BOUND, 70 CANNOT_CONVERT_TYPE, 72 CANNOT_PARSE_NUMBER, 131 TOO_LARGE_STRING_SIZE, 321
/// VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE, 349 CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN, 407 DECIMAL_OVERFLOW, 469
/// VIOLATED_CONSTRAINT, 691 UNKNOWN_ELEMENT_OF_ENUM.
constexpr std::array kOfRows = {6, 26, 27, 28, 33, 38, 41, 69, 70, 72, 131, 321, 349, 407, 469, 691};
constexpr int kUnknownDatabase = 81;
constexpr int kUnknownTable = 60;
constexpr std::size_t kShownText = 400;

template <std::size_t kSize>
bool is_one_of(int code, const std::array<int, kSize>& codes) {
  return std::ranges::find(codes, code) != codes.end();
}

bool is_name(std::string_view text) {
  return !text.empty() &&
         std::ranges::all_of(text, [](char c) { return (c >= 'A' && c <= 'Z') || c == '_' || (c >= '0' && c <= '9'); });
}

/// Of "while pushing to view db.view (uuid)": the view. Empty: no view has to do with it.
std::string view_in(std::string_view text) {
  constexpr std::string_view kBefore = "while pushing to view ";
  const std::size_t at = text.find(kBefore);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + kBefore.size());
  return std::string(text.substr(0, std::min(text.find_first_of(" :\n"), kShownText)));
}

/// The last word in brackets that is all capitals.
std::string name_in(std::string_view text) {
  for (std::size_t open = text.rfind('('); open != std::string_view::npos; open = text.rfind('(', open - 1)) {
    const std::size_t close = text.find(')', open);
    if (close != std::string_view::npos && is_name(text.substr(open + 1, close - open - 1)))
      return std::string(text.substr(open + 1, close - open - 1));
    if (open == 0) break;
  }
  return {};
}

}  // namespace

ServerError read_error(long http_status, int code_header, const std::string& body) {
  constexpr std::string_view kCode = "Code: ";
  ServerError error{.http_status = http_status, .code = code_header, .name = name_in(body), .text = body};
  if (error.code == 0 && body.starts_with(kCode))
    std::from_chars(body.data() + kCode.size(), body.data() + body.size(), error.code);
  return error;
}

void throw_error(const ServerError& error, const std::string& display, bool is_insert) {
  if (error.code == 0) {
    const std::string what = fmt::format("{} answers with HTTP status {}", display, error.http_status);
    if (error.http_status == 401 || error.http_status == 403)
      throw RefusedError("TR841", what, "check user and password, and what stands before the server");
    if (error.http_status >= 500 || error.http_status == 408 || error.http_status == 429)
      throw RetryError("TR840", what, "none: it is tried again");
    throw RefusedError("TR846", what, "is it ClickHouse's HTTP interface (port 8123, or 8443 with TLS)?");
  }
  const std::string which =
      error.name.empty() ? fmt::format("code {}", error.code) : fmt::format("code {}, {}", error.code, error.name);
  if (is_one_of(error.code, kLater))
    throw RetryError("TR842", fmt::format("{} cannot do it now ({})", display, which),
                     "look at the server's log if it lasts; it is tried again");
  if (const std::string view = is_insert ? view_in(error.text) : std::string(); !view.empty())
    throw RetryError("TR825", fmt::format("materialized view {} of {} fails ({})", view, display, which),
                     "correct the view, or detach it; it is tried again");
  if (is_one_of(error.code, kNotLetIn))
    throw RefusedError("TR841", fmt::format("{} does not let us in ({})", display, which),
                       "check user and password, and that the user may create, alter, truncate and insert there");
  if (error.code == kUnknownDatabase)
    throw RefusedError("TR843", fmt::format("{} has no such database ({})", display, which),
                       "create the database, or correct the end of the URL");
  if (error.code == kUnknownTable)
    throw RefusedError("TR844", fmt::format("a table of this sink is gone from {} ({})", display, which),
                       "copy the table again: tailrace snapshot, or bring it back as it was");
  if (is_insert && is_one_of(error.code, kOfRows))
    throw sinks::RowsRefused("TR847", fmt::format("ClickHouse refuses the row ({})", which),
                             "correct it at the source");
  std::string text = is_insert ? std::string() : ": " + error.text.substr(0, kShownText);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  throw RefusedError("TR846", fmt::format("{} refuses a statement ({}){}", display, which, text),
                     "look at the server's log; correct it there, or tell us");
}

}  // namespace tailrace::clickhouse
