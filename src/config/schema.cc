#include "config/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

namespace tailrace::config {
namespace {

std::vector<std::string> names_of(const ObjectDoc& doc) {
  std::vector<std::string> names;
  for (const FieldDoc& field : doc.fields) names.push_back(field.name);
  return names;
}

std::string listed(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "`" : ", `") + word + "`";
  return text;
}

void render_fields(const ObjectDoc& doc, const std::string& indent, std::string& out) {
  for (const FieldDoc& field : doc.fields) {
    std::string about = field.choices.empty() ? field.type : one_of_text(field.choices);
    if (field.required) about += ", required";
    if (field.secret) about += ", secret";
    if (!field.fallback.empty()) about += fmt::format(", default `{}`", field.fallback);
    out += fmt::format("{}- `{}` ({}): {}\n", indent, field.name, about, field.doc);
    if (!field.below) continue;
    if (field.named_below) out += fmt::format("{}  - *a name of your choice*\n", indent);
    render_fields(*field.below, indent + (field.named_below ? "    " : "  "), out);
  }
}

nlohmann::ordered_json schema_of(const ObjectDoc& doc);

nlohmann::ordered_json schema_of(const FieldDoc& field) {
  nlohmann::ordered_json schema;
  if (field.below && field.named_below) {
    schema["type"] = "object";
    schema["additionalProperties"] = schema_of(*field.below);
  } else if (field.below) {
    schema = schema_of(*field.below);
  } else if (field.json_type == "strings") {
    const nlohmann::ordered_json one = {{"type", "string"}};
    schema["anyOf"] = {one, {{"type", "array"}, {"items", one}}};
  } else if (field.json_type == "integer" || field.json_type == "boolean") {
    schema["type"] = {field.json_type, "string"};
  } else if (!field.json_type.empty()) {
    schema["type"] = {"string", "number"};
  }
  schema["description"] = field.doc;
  if (!field.choices.empty()) schema["examples"] = field.choices;
  if (!field.fallback.empty()) schema["default"] = field.fallback;
  if (field.secret) schema["writeOnly"] = true;
  return schema;
}

nlohmann::ordered_json schema_of(const ObjectDoc& doc) {
  nlohmann::ordered_json schema = {{"type", "object"}, {"additionalProperties", false}};
  nlohmann::ordered_json properties = nlohmann::ordered_json::object();
  nlohmann::ordered_json required = nlohmann::ordered_json::array();
  for (const FieldDoc& field : doc.fields) {
    properties[field.name] = schema_of(field);
    if (field.required) required.push_back(field.name);
  }
  schema["properties"] = std::move(properties);
  if (!required.empty()) schema["required"] = std::move(required);
  if (doc.one_of) {
    schema["oneOf"] = nlohmann::ordered_json::array();
    for (const FieldDoc& field : doc.fields)
      if (!field.beside) schema["oneOf"].push_back({{"required", {field.name}}});
  }
  return schema;
}

}  // namespace

ConfigError Reading::error(std::string code, const std::string& what, std::string remedy, const Node& node) const {
  const std::size_t width = node.kind == Node::Kind::kScalar ? node.text.size() + (node.quoted ? 2 : 0) : 1;
  return file_.error(std::move(code), what, std::move(remedy), node.place, width);
}

ConfigError Reading::wrong(const Node& node, const std::string& wanted) const {
  return error("TR202", fmt::format("here stands no {}", wanted), fmt::format("write {}", wanted), node);
}

ConfigError Reading::unknown_key(const Entry& entry, const std::vector<std::string>& known) const {
  const std::string meant = nearest(entry.key, known);
  const std::string remedy =
      meant.empty() ? fmt::format("known here: {}", listed(known)) : fmt::format("did you mean `{}`?", meant);
  return file_.error("TR201", fmt::format("unknown key `{}`", entry.key), remedy, entry.place, entry.key.size());
}

std::string Reading::text(const Node& node) const {
  if (node.kind != Node::Kind::kScalar) throw wrong(node, "text");
  try {
    return resolve_references(node.text, environment_);
  } catch (const ConfigError&) {
    throw;
  } catch (const BadConfigError& error_of_reference) {
    throw error(error_of_reference.code(), error_of_reference.what(), error_of_reference.remedy(), node);
  }
}

bool Reading::truth(const Node& node) const {
  const std::string given = text(node);
  if (given == "true" || given == "yes" || given == "on") return true;
  if (given == "false" || given == "no" || given == "off") return false;
  throw wrong(node, "true or false");
}

std::int64_t Reading::integer(const Node& node, std::int64_t least, std::int64_t most) const {
  const std::string given = text(node);
  std::int64_t number = 0;
  const auto [end, failure] = std::from_chars(given.data(), given.data() + given.size(), number);
  if (failure != std::errc() || end != given.data() + given.size() || number < least || number > most) {
    throw wrong(node, fmt::format("number from {} to {}", least, most));
  }
  return number;
}

std::uint64_t Reading::size(const Node& node) const {
  const std::optional<std::uint64_t> bytes = parse_size(text(node));
  if (!bytes) throw wrong(node, "size such as 512MiB or 20GiB");
  return *bytes;
}

std::chrono::milliseconds Reading::duration(const Node& node) const {
  const std::optional<std::chrono::milliseconds> duration = parse_duration(text(node));
  if (!duration) throw wrong(node, "duration such as 24h, 2s or 500ms");
  return *duration;
}

std::vector<std::string> Reading::texts(const Node& node) const {
  if (node.kind == Node::Kind::kScalar) return {text(node)};
  if (node.kind != Node::Kind::kList) throw wrong(node, "list of text");
  std::vector<std::string> texts;
  for (const Node& item : node.items) texts.push_back(text(item));
  return texts;
}

std::vector<std::pair<std::size_t, const Entry*>> match_fields(const ObjectDoc& doc, const Node& node,
                                                               const Reading& reading) {
  const std::vector<std::string> names = names_of(doc);
  if (node.kind != Node::Kind::kMap && !(node.kind == Node::Kind::kNull && !doc.one_of)) {
    throw reading.wrong(node, fmt::format("map with {}", listed(names)));
  }
  std::vector<std::pair<std::size_t, const Entry*>> matched;
  for (const Entry& entry : node.entries) {
    const auto found = std::find(names.begin(), names.end(), entry.key);
    if (found == names.end()) throw reading.unknown_key(entry, names);
    matched.emplace_back(static_cast<std::size_t>(found - names.begin()), &entry);
  }
  for (const FieldDoc& field : doc.fields) {
    if (!field.required || node.find(field.name) != nullptr) continue;
    throw reading.file().error("TR210", fmt::format("`{}` is missing", field.name),
                               fmt::format("add `{}`: {}", field.name, field.doc), node.place);
  }
  const auto chosen = std::ranges::count_if(matched, [&doc](const auto& at) { return !doc.fields[at.first].beside; });
  if (doc.one_of && chosen != 1) {
    std::vector<std::string> choices;
    for (const FieldDoc& field : doc.fields)
      if (!field.beside) choices.push_back(field.name);
    throw reading.file().error("TR210", fmt::format("exactly one of {} belongs here", listed(choices)),
                               "keep one of them", node.place);
  }
  return matched;
}

std::string one_of_text(const std::vector<std::string>& choices) {
  return fmt::format("one of {}", fmt::join(choices, ", "));
}

std::string render_docs(const ObjectDoc& root) {
  std::string out = "# Pipeline file\n\n" + root.doc + "\n\n";
  render_fields(root, "", out);
  return out;
}

std::string render_json_schema(const ObjectDoc& root) {
  nlohmann::ordered_json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                                   {"title", "Tailrace pipeline"}};
  schema.update(schema_of(root));
  return schema.dump(2) + "\n";
}

}  // namespace tailrace::config
