#include "formats/row_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "formats/row_json.h"

namespace tailrace::formats {
namespace {

constexpr std::string_view kUpperHex = "0123456789ABCDEF";

void append_percent(char c, std::string& out) {
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += kUpperHex[byte >> 4];
  out += kUpperHex[byte & 15];
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

void append_escaped(std::string_view text, Escaping escaping, std::string& out) {
  if (escaping == Escaping::kJson) {
    std::string quoted;
    append_json_string(text, quoted);
    out.append(quoted, 1, quoted.size() - 2);
    return;
  }
  for (const char c : text) {
    if (escaping == Escaping::kUrl ? !is_unreserved(c) : (c == ':' || c == '%')) {
      append_percent(c, out);
    } else {
      out += c;
    }
  }
}

/// Templates may hold secrets: their text is not shown.
[[noreturn]] void malformed(std::size_t at, const std::string& what) {
  throw BadConfigError("TR821", fmt::format("the template {}, at character {}", what, at + 1),
                       "write {schema}, {table}, {key} or {COLUMN}; {{ and }} are braces");
}

}  // namespace

RowTemplate::RowTemplate(std::string text, Escaping escaping) : text_(std::move(text)), escaping_(escaping) {
  std::string literal;
  for (std::size_t at = 0; at < text_.size(); ++at) {
    const char c = text_[at];
    const bool doubled = at + 1 < text_.size() && text_[at + 1] == c;
    if (c == '}' && !doubled) malformed(at, "has a } without its {");
    if (c != '{' || doubled) {
      literal += c;
      if (c == '{' || c == '}') ++at;
      continue;
    }
    const std::size_t end = text_.find('}', at);
    if (end == std::string::npos) malformed(at, "has a { without its }");
    if (end == at + 1) malformed(at, "has nothing between { and }");
    if (!literal.empty()) pieces_.push_back({std::exchange(literal, {}), false});
    pieces_.push_back({text_.substr(at + 1, end - at - 1), true});
    at = end;
  }
  if (!literal.empty()) pieces_.push_back({literal, false});
}

bool RowTemplate::names(std::string_view placeholder) const {
  return std::ranges::any_of(pieces_,
                             [&](const Piece& piece) { return piece.placeholder && piece.text == placeholder; });
}

BoundTemplate RowTemplate::bind(const Relation& relation) const {
  BoundTemplate bound;
  bound.escaping_ = escaping_;
  const auto add_text = [&bound](std::string text) { bound.pieces_.push_back({std::move(text), false, 0}); };
  const auto add_column = [&bound](std::size_t column) { bound.pieces_.push_back({{}, true, column}); };
  const auto add_name = [&](std::string_view name) {
    std::string text;
    if (escaping_ == Escaping::kUrl || escaping_ == Escaping::kJson) {
      append_escaped(name, escaping_, text);
    } else {
      text = name;
    }
    add_text(std::move(text));
  };
  for (const Piece& piece : pieces_) {
    if (!piece.placeholder) {
      add_text(piece.text);
    } else if (piece.text == "schema") {
      add_name(relation.schema);
    } else if (piece.text == "table") {
      add_name(relation.name);
    } else if (piece.text == "key") {
      bool first = true;
      for (const std::size_t column : relation.match_key()) {
        if (!std::exchange(first, false)) add_text(":");
        add_column(column);
      }
    } else {
      const auto column = std::ranges::find(relation.columns, piece.text, &Column::name);
      if (column == relation.columns.end())
        throw RefusedError(
            "TR822",
            fmt::format("{} has no column \"{}\", which a template names", relation.display_name(), piece.text),
            "name a column that it has, or leave the table out");
      add_column(static_cast<std::size_t>(column - relation.columns.begin()));
    }
  }
  std::size_t values = 0;
  for (const auto& piece : bound.pieces_) {
    if (!piece.is_column) continue;
    ++values;
    if (std::ranges::find(bound.columns_, piece.column) == bound.columns_.end()) bound.columns_.push_back(piece.column);
  }
  std::ranges::sort(bound.columns_);
  bound.many_ = values > 1;
  return bound;
}

void BoundTemplate::append_value(std::string_view value, std::string& out) const {
  if (escaping_ == Escaping::kNone || (escaping_ == Escaping::kParts && !many_)) {
    out += value;
    return;
  }
  append_escaped(value, escaping_, out);
}

bool BoundTemplate::append(TupleView row, std::string& out) const {
  const std::size_t before = out.size();
  for (const Piece& piece : pieces_) {
    if (!piece.is_column) {
      out += piece.text;
      continue;
    }
    auto fields = row.begin();
    for (std::size_t n = 0; n < piece.column; ++n) fields.next();
    const Field field = fields.next();
    if (field.kind != FieldKind::kText) {
      out.resize(before);
      return false;
    }
    append_value(field.bytes, out);
  }
  return true;
}

std::string BoundTemplate::pattern(const std::string& wildcard, std::string (*literal)(std::string_view text)) const {
  std::string out;
  for (const Piece& piece : pieces_) out += piece.is_column ? wildcard : literal(piece.text);
  return out;
}

}  // namespace tailrace::formats
