#include "sinks/webhook/request_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "base/time.h"
#include "net/digest.h"
#include "sinks/row_unit.h"
#include "sinks/webhook/signature.h"

namespace tailrace::webhook {
namespace {

using sinks::field_of;
using sinks::RowChange;
using sinks::RowOperation;

/// Hexadecimal digits of a digest that tell rows apart.
constexpr std::size_t kDigits = 32;

std::size_t column_of(const Relation& relation, const std::string& name, const char* what) {
  const auto column = std::ranges::find(relation.columns, name, &Column::name);
  if (column == relation.columns.end())
    throw RefusedError("TR822",
                       fmt::format("{} has no column \"{}\", which `{}` names", relation.display_name(), name, what),
                       "name a column that it has, or leave the table out");
  return static_cast<std::size_t>(column - relation.columns.begin());
}

bool fits_header(std::string_view value) {
  return std::ranges::none_of(value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

/// A template without columns needs no row.
bool append(const formats::BoundTemplate& bound, TupleView row, std::string& out) {
  return (row.present() || bound.columns().empty()) && bound.append(row, out);
}

}  // namespace

RequestForm::RequestForm(const Relation& relation, const WebhookSpec& spec)
    : relation_(relation),
      spec_(spec),
      has_key_(!relation.match_key().empty()),
      events_(relation),
      url_(spec.url.bind(relation)) {
  if (spec.url.names("key") && !has_key_)
    throw RefusedError("TR834", fmt::format("{} has no key, which the URL names", relation.display_name()),
                       "name columns of it instead, or leave the table out");
  for (const HeaderTemplate& header : spec.headers) headers_.emplace_back(header.name, header.value.bind(relation));
  if (!spec.body.text().empty()) body_ = spec.body.bind(relation);
  for (const std::string& name : spec.body_columns) body_columns_.push_back(column_of(relation, name, "body"));
  std::ranges::sort(body_columns_);
  if (!spec.key_column.empty()) key_column_ = column_of(relation, spec.key_column, "idempotency_key");
}

const char* RequestForm::fill(const RowChange& change, const std::string& key, HttpRequest& request) const {
  const TupleView row = change.row();
  request.method = spec_.method;
  if (!append(url_, row, request.url)) return "a column that the URL names is null, or was not sent";
  for (const std::size_t column : url_.columns()) {
    // Such a part of a path would lead to another place.
    const std::string_view value = field_of(row, column).bytes;
    if (value.empty() || value == "." || value == "..") return "a column that the URL names is empty, or only dots";
  }
  for (const auto& [name, bound] : headers_) {
    std::string value;
    if (!append(bound, row, value)) return "a column that a header names is null, or was not sent";
    if (!fits_header(value)) return "a column that a header names has a line break or a control character in it";
    request.headers.emplace_back(name, std::move(value));
  }
  if (!spec_.body.text().empty()) {
    if (!append(body_, row, request.body)) return "a column that the body names is null, or was not sent";
  } else if (!body_columns_.empty()) {
    events_.append_columns(change, body_columns_, request.body);
  } else {
    events_.append(change, key, request.body);
  }
  return nullptr;
}

std::optional<std::string> RequestForm::key_of(const RowChange& change, const std::string& unlike) const {
  if (key_column_ && change.row().present()) {
    const Field field = field_of(change.row(), *key_column_);
    if (field.kind != FieldKind::kText || field.bytes.empty() || !fits_header(field.bytes) ||
        field.bytes.front() == ' ' || field.bytes.back() == ' ')
      return std::nullopt;
    return std::string(field.bytes);
  }
  if (change.operation != RowOperation::kCopied) return fmt::format("{}-{}", spec_.pipeline, change.position.str());
  std::string row = relation_.schema + '\0' + relation_.name + '\0';
  row += change.new_row.bytes();
  const std::string digest = net::sha256_hex(row).substr(0, kDigits);
  if (has_key_) return fmt::format("{}-copy-{}", spec_.pipeline, digest);
  return fmt::format("{}-copy-{}-{}", spec_.pipeline, digest, unlike);
}

void seal(HttpRequest& request, const std::string& key, const WebhookSpec& spec) {
  const bool typed = std::ranges::any_of(request.headers, [](const auto& header) {
    return std::ranges::equal(header.first, std::string_view("content-type"), {},
                              [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  });
  if (!typed) request.headers.emplace_back("Content-Type", "application/json");
  const bool named = std::ranges::any_of(spec.headers, [](const HeaderTemplate& header) {
    return header.name == "User-Agent" || header.name == "user-agent";
  });
  if (!named) request.headers.emplace_back("User-Agent", "tailrace");
  request.headers.emplace_back("Idempotency-Key", key);
  if (spec.secret.empty()) return;
  constexpr std::int64_t kMicros = 1'000'000;
  request.headers.emplace_back("Tailrace-Signature",
                               signature(spec.secret, PgTime::now().unix_micros() / kMicros, request.body));
}

}  // namespace tailrace::webhook
