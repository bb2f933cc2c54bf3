#include "cli/moment.h"

#include <fmt/format.h>

#include "base/error.h"
#include "formats/value_text.h"

namespace tailrace::cli {

Moment parse_moment(std::string text, const std::string& flag) {
  if (const std::optional<Lsn> lsn = Lsn::parse(text)) return {lsn, {}};
  if (text.size() > 10 && text[10] == 'T') text[10] = ' ';
  if (text.ends_with('Z')) text.replace(text.size() - 1, 1, "+00");
  if (text.size() == 10) text += " 00:00:00";
  std::int64_t unix_micros = 0;
  if (!formats::parse_timestamp(text, unix_micros))
    throw BadConfigError("TR202", fmt::format("{} is neither a time nor an LSN", flag),
                         "write it as 2026-01-31T12:00:00Z or 0/16B3748");
  return {std::nullopt, PgTime::from_unix_micros(unix_micros)};
}

}  // namespace tailrace::cli
