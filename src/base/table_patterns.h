#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tailrace {

/// Which tables are meant where configuration and command line name tables (docs/table-patterns.md): patterns
/// "schema.table" with `*` for any run of characters and `?` for one. A pattern without a dot means schema public; `!`
/// in front takes away again; the last pattern that matches decides. Nothing but exclusions, or nothing at all, means
/// every other table. Immutable; any thread.
class TablePatterns {
 public:
  explicit TablePatterns(const std::vector<std::string>& patterns);

  bool match(std::string_view schema, std::string_view table) const;

  /// Whether the pattern can mean one table only: it neither takes away nor holds a wildcard.
  static bool names_one_table(std::string_view pattern);

 private:
  struct Pattern {
    std::string schema;
    std::string table;
    bool takes_away = false;
  };

  std::vector<Pattern> patterns_;
};

}  // namespace tailrace
