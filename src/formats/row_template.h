#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/relation.h"
#include "model/tuple.h"

namespace tailrace::formats {

/// How values are written between the text of a template.
enum class Escaping : std::uint8_t {
  kNone,
  /// ':' and '%' of a value as %3A and %25, wherever more than one value stands in the text: so that different rows
  /// never give equal texts.
  kParts,
  /// All but letters, digits and -._~ of every part as %XX (RFC 3986).
  kUrl,
  /// What a JSON string cannot hold as it is, escaped; without its quotes.
  kJson,
};

/// A template bound to one version of a table. A value; the relation need not outlive it.
class BoundTemplate {
 public:
  /// Appends the text for this row. False, with nothing appended, when a column in it is null or was not sent.
  bool append(TupleView row, std::string& out) const;
  /// The text with every value as `wildcard`; `literal` writes the text between, for who has to escape it there.
  std::string pattern(const std::string& wildcard, std::string (*literal)(std::string_view text)) const;
  /// Columns that it reads, each once, ascending.
  const std::vector<std::size_t>& columns() const { return columns_; }

 private:
  friend class RowTemplate;
  struct Piece {
    std::string text;
    bool is_column = false;
    std::size_t column = 0;
  };
  void append_value(std::string_view value, std::string& out) const;

  std::vector<Piece> pieces_;
  std::vector<std::size_t> columns_;
  Escaping escaping_ = Escaping::kNone;
  bool many_ = false;
};

/// Text with `{schema}`, `{table}`, `{key}` (the columns of the key, with ':' between) and `{column}` in it, as the
/// configuration has it; `{{` and `}}` are braces. Immutable.
class RowTemplate {
 public:
  RowTemplate() = default;
  /// Throws BadConfigError TR821 for a brace without its other, or nothing in them.
  RowTemplate(std::string text, Escaping escaping);

  const std::string& text() const { return text_; }
  bool names(std::string_view placeholder) const;
  /// Throws RefusedError TR822 for a column that the table does not have. A table without key has an empty `{key}`.
  BoundTemplate bind(const Relation& relation) const;

 private:
  struct Piece {
    std::string text;
    bool placeholder = false;
  };
  std::string text_;
  std::vector<Piece> pieces_;
  Escaping escaping_ = Escaping::kNone;
};

}  // namespace tailrace::formats
