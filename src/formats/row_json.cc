#include "formats/row_json.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace tailrace::formats {
namespace {

// Oids of pg_catalog's types, which never change (pg_type.dat).
constexpr std::uint32_t kBool = 16;
constexpr std::uint32_t kInt8 = 20;
constexpr std::uint32_t kInt2 = 21;
constexpr std::uint32_t kInt4 = 23;
constexpr std::uint32_t kJson = 114;
constexpr std::uint32_t kFloat4 = 700;
constexpr std::uint32_t kFloat8 = 701;
constexpr std::uint32_t kTimestamp = 1114;
constexpr std::uint32_t kTimestamptz = 1184;
constexpr std::uint32_t kNumeric = 1700;
constexpr std::uint32_t kJsonb = 3802;

constexpr std::array<char, 16> kHex = {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};

/// A byte that a JSON string may not hold as it is.
std::string escape_of(unsigned char byte) {
  switch (byte) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: break;
  }
  return {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
}

bool is_number(std::uint32_t oid) {
  return oid == kInt8 || oid == kInt2 || oid == kInt4 || oid == kFloat4 || oid == kFloat8 || oid == kNumeric;
}

void append_number(ByteView text, std::string& out) {
  // NaN, Infinity and -Infinity are no numbers of JSON's.
  const char last = text.empty() ? 'N' : text.back();
  if (last >= '0' && last <= '9') {
    out += text;
  } else {
    append_json_string(text, out);
  }
}

/// `json` keeps the line breaks it was written with; they can only stand between its tokens.
void append_json(ByteView text, std::string& out) {
  for (const char c : text) out += c == '\n' || c == '\r' ? ' ' : c;
}

/// "2024-01-31 12:00:00.5+00" → "2024-01-31T12:00:00.5+00:00"; "infinity" and years BC stay as they are otherwise.
void append_time(ByteView text, bool with_zone, std::string& out) {
  std::string iso(text);
  const std::size_t space = iso.find(' ');
  if (space != std::string::npos && space >= 10 && iso.find(':', space) != std::string::npos) {
    iso[space] = 'T';
    const std::size_t sign = iso.find_first_of("+-", space);
    if (with_zone && sign != std::string::npos && iso.find(':', sign) == std::string::npos) iso.insert(sign + 3, ":00");
  }
  append_json_string(iso, out);
}

void append_scalar(std::uint32_t oid, ByteView text, std::string& out) {
  if (is_number(oid)) return append_number(text, out);
  if (oid == kBool) {
    out += text == "t" ? "true" : "false";
  } else if (oid == kJson || oid == kJsonb) {
    append_json(text, out);
  } else if (oid == kTimestamp || oid == kTimestamptz) {
    append_time(text, oid == kTimestamptz, out);
  } else {
    append_json_string(text, out);
  }
}

/// An array literal (PostgreSQL documentation, "Array Input and Output Syntax") read from left to right.
class ArrayJson {
 public:
  ArrayJson(ByteView text, std::uint32_t element, char delimiter, std::string& out)
      : text_(text), element_(element), delimiter_(delimiter), out_(out) {}

  /// False: it is no array literal, and what was appended means nothing.
  bool append() {
    // "[0:2]={…}": bounds are not shown, as to_json() does not show them.
    if (!text_.empty() && text_.front() == '[') {
      const std::size_t equals = text_.find('=');
      if (equals == ByteView::npos) return false;
      at_ = equals + 1;
    }
    return level() && at_ == text_.size();
  }

 private:
  bool level() {
    if (at_ >= text_.size() || text_[at_] != '{') return false;
    ++at_;
    out_ += '[';
    bool first = true;
    while (at_ < text_.size() && text_[at_] != '}') {
      if (!first) {
        if (text_[at_] != delimiter_) return false;
        ++at_;
        out_ += ',';
      }
      first = false;
      if (at_ < text_.size() && text_[at_] == '{' ? !level() : !element()) return false;
    }
    if (at_ >= text_.size()) return false;
    ++at_;
    out_ += ']';
    return true;
  }

  bool element() {
    const bool quoted = at_ < text_.size() && text_[at_] == '"';
    if (quoted) ++at_;
    std::string value;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (quoted ? c == '"' : (c == delimiter_ || c == '}')) break;
      if (c == '\\' && ++at_ >= text_.size()) return false;
      value += text_[at_++];
    }
    if (quoted && at_++ >= text_.size()) return false;
    if (!quoted && value == "NULL") {
      out_ += "null";
    } else {
      append_scalar(element_, value, out_);
    }
    return true;
  }

  ByteView text_;
  std::uint32_t element_;
  char delimiter_;
  std::string& out_;
  std::size_t at_ = 0;
};

}  // namespace

void append_json_string(ByteView text, std::string& out) {
  out += '"';
  std::size_t begun = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    out.append(text.substr(begun, at - begun));
    out += escape_of(byte);
    begun = at + 1;
  }
  out.append(text.substr(begun));
  out += '"';
}

void append_json_value(const ColumnType& type, ByteView text, std::string& out) {
  if (type.kind != TypeKind::kArray) return append_scalar(type.base.value(), text, out);
  const std::size_t before = out.size();
  const std::uint32_t element = type.element_kind == TypeKind::kBase ? type.element.value() : 0;
  if (ArrayJson(text, element, type.delimiter, out).append()) return;
  // Types such as int2vector are arrays to the catalog and print otherwise.
  out.resize(before);
  append_json_string(text, out);
}

RowJson::RowJson(const Relation& relation) : relation_(relation) {
  for (const Column& column : relation.columns) {
    append_json_string(column.name, names_.emplace_back());
    names_.back() += ':';
  }
}

void RowJson::append_member(std::size_t column, const Field& field, bool& first, std::string& out) const {
  if (field.kind == FieldKind::kUnchanged) return;
  if (!first) out += ',';
  first = false;
  out += names_[column];
  if (field.kind == FieldKind::kNull) {
    out += "null";
  } else {
    append_json_value(relation_.columns[column].type, field.bytes, out);
  }
}

void RowJson::append(TupleView row, std::string& out) const {
  out += '{';
  bool first = true;
  auto fields = row.begin();
  for (std::size_t column = 0; column < names_.size(); ++column) append_member(column, fields.next(), first, out);
  out += '}';
}

void RowJson::append(TupleView row, const std::vector<std::size_t>& columns, std::string& out) const {
  out += '{';
  bool first = true;
  auto fields = row.begin();
  for (std::size_t column = 0; column < names_.size(); ++column) {
    const Field field = fields.next();
    if (std::ranges::find(columns, column) != columns.end()) append_member(column, field, first, out);
  }
  out += '}';
}

void RowJson::append_unchanged(TupleView row, std::string& out) const {
  out += '[';
  bool first = true;
  auto fields = row.begin();
  for (const Column& column : relation_.columns) {
    if (fields.next().kind != FieldKind::kUnchanged) continue;
    if (!first) out += ',';
    first = false;
    append_json_string(column.name, out);
  }
  out += ']';
}

}  // namespace tailrace::formats
