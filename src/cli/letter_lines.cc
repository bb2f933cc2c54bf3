#include "cli/letter_lines.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "model/tuple.h"

namespace tailrace::cli {
namespace {

using Json = nlohmann::ordered_json;
using pipeline::KeptLetter;

Json letter_value_json(const Field& field) {
  if (field.kind == FieldKind::kNull) return nullptr;
  if (field.kind == FieldKind::kUnchanged) return {{"unchanged", true}};
  Json text = std::string(field.bytes);
  try {
    static_cast<void>(text.dump());
    return text;
  } catch (const Json::type_error&) {
    std::string hex;
    for (const char byte : field.bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    return {{"hex", hex}};
  }
}

/// An old row that is a key only has nothing to say of other columns.
Json letter_row_json(const TupleView& tuple, const RelationPtr& relation, bool key_only) {
  Json row = Json::object();
  auto fields = tuple.begin();
  for (std::size_t i = 0; i < tuple.size(); ++i) {
    const Field field = fields.next();
    const Column* column = relation ? &relation->columns[i] : nullptr;
    if (key_only && column != nullptr && !column->in_identity) continue;
    row[column != nullptr ? column->name : std::to_string(i + 1)] = letter_value_json(field);
  }
  return row;
}

std::string letter_place_of(const KeptLetter& kept) {
  return kept.letter.position.commit_end.valid() ? kept.letter.position.str() : "copy";
}

}  // namespace

std::string letter_line(const KeptLetter& kept) {
  const sinks::DeadLetter& letter = kept.letter;
  return fmt::format("{:<6} {:<12} {:<20} {:<20} {:<9} {:>5}  {}", kept.id, kept.sink, letter_place_of(kept),
                     kept.schema + "." + kept.table, letter.operation, kept.attempts, letter.reason);
}

Json letter_json(const KeptLetter& kept, Values values) {
  const sinks::DeadLetter& letter = kept.letter;
  const bool copied = !letter.position.commit_end.valid();
  Json json = {{"id", kept.id},
               {"sink", kept.sink},
               {"position", copied ? Json(nullptr) : Json(letter.position.str())},
               {"seq", copied ? Json(nullptr) : Json(letter.seq.value())},
               {"xid", copied ? Json(nullptr) : Json(letter.xid.value())},
               {"schema", kept.schema},
               {"table", kept.table},
               {"operation", letter.operation},
               {"reason", letter.reason},
               {"attempts", kept.attempts},
               {"failed_at", kept.failed_at ? Json(kept.failed_at->str()) : Json(nullptr)}};
  if (values == Values::kHidden) return json;
  const TupleView old_row(letter.old_row);
  const TupleView new_row(letter.new_row);
  const bool key_only = letter.relation && letter.relation->identity != ReplicaIdentity::kFull;
  if (old_row.present()) json["old"] = letter_row_json(old_row, letter.relation, key_only);
  if (new_row.present()) json["new"] = letter_row_json(new_row, letter.relation, false);
  return json;
}

}  // namespace tailrace::cli
