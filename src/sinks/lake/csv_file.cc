#include "sinks/lake/csv_file.h"

#include <utility>

#include "sinks/lake/text_codec.h"

namespace tailrace::lake {
namespace {

using sinks::RowChange;

void append_value(ByteView text, std::string& out) {
  // "\." alone on its line ends the data for PostgreSQL's COPY.
  const bool plain = !text.empty() && text.find_first_of("\",\n\r") == ByteView::npos && text != "\\." &&
                     text.front() != ' ' && text.back() != ' ';
  if (plain) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

}  // namespace

CsvFile::CsvFile(std::shared_ptr<const TableShape> shape, Codec codec) : shape_(std::move(shape)), codec_(codec) {
  for (const Column& column : shape_->relation().columns) {
    append_value(column.name, lines_);
    lines_ += ',';
  }
  for (const ExtraColumn& extra : shape_->extras()) {
    lines_ += extra.name;
    lines_ += ',';
  }
  if (!lines_.empty()) lines_.back() = '\n';
}

void CsvFile::append(const RowChange& change) {
  const TupleView row = change.row();
  const std::size_t columns = shape_->types().size();
  if (row.present()) {
    auto fields = row.begin();
    for (std::size_t n = 0; n < columns; ++n) {
      const Field field = fields.next();
      if (field.kind == FieldKind::kText) append_value(field.bytes, lines_);
      lines_ += ',';
    }
  } else {
    lines_.append(columns, ',');
  }
  for (const ExtraColumn& extra : shape_->extras()) {
    text_.clear();
    if (shape_->append_text_of(change, extra.what, text_)) append_value(text_, lines_);
    lines_ += ',';
  }
  lines_.back() = '\n';
}

std::string CsvFile::finish() { return encoded(std::move(lines_), codec_); }

}  // namespace tailrace::lake
