#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/document.h"
#include "config/quantity.h"
#include "config/reference.h"

namespace tailrace::config {

/// One reading of one file: resolves references and knows where errors are. Lives as long as the reading.
class Reading {
 public:
  Reading(const File& file, Environment environment) : file_(file), environment_(std::move(environment)) {}

  /// A scalar with its references resolved. Throws TR202 for lists and maps, TR203 and TR206 for references.
  std::string text(const Node& node) const;
  bool truth(const Node& node) const;
  std::int64_t integer(const Node& node, std::int64_t least, std::int64_t most) const;
  std::uint64_t size(const Node& node) const;
  std::chrono::milliseconds duration(const Node& node) const;
  /// A list of scalars, or one scalar alone.
  std::vector<std::string> texts(const Node& node) const;

  ConfigError error(std::string code, const std::string& what, std::string remedy, const Node& node) const;
  /// The value has a wrong form: TR202. It is not shown, since it may be a secret.
  ConfigError wrong(const Node& node, const std::string& wanted) const;
  ConfigError unknown_key(const Entry& entry, const std::vector<std::string>& known) const;
  const File& file() const { return file_; }

 private:
  const File& file_;
  Environment environment_;
};

struct ObjectDoc;

/// How a key of the configuration is declared: read by parsing, `docs config` and the JSON Schema alike.
struct FieldDoc {
  std::string name = {};
  std::string doc = {};
  bool required = false;
  bool secret = false;
  /// What the reader of the docs sees: "text", "size", "duration", "list of text" …
  std::string type = {};
  /// As it would be written in the file; empty = none.
  std::string fallback = {};
  /// The only values allowed; empty = any.
  std::vector<std::string> choices = {};
  /// JSON Schema of the value where it is not an object; "string", "boolean", "integer", "strings".
  std::string json_type = {};
  std::shared_ptr<const ObjectDoc> below = {};
  /// In a map with `one_of`: may stand beside the one.
  bool beside = false;
  /// The keys below are names that the user gives, each with `below` under it.
  bool named_below = false;
};

/// How a map of the configuration is declared.
struct ObjectDoc {
  std::string doc;
  std::vector<FieldDoc> fields;
  /// Exactly one of the fields is given: which kind of component it is.
  bool one_of = false;
};

/// The entries of a map with the place of each one's declaration. Throws for what does not fit `doc`.
std::vector<std::pair<std::size_t, const Entry*>> match_fields(const ObjectDoc& doc, const Node& node,
                                                               const Reading& reading);
/// "one of a, b, c".
std::string one_of_text(const std::vector<std::string>& choices);

/// Flags of a declaration.
enum class Need { kOptional, kRequired };
enum class Privacy { kPublic, kSecret };

/// The keys of one map in the file, bound to the members of the struct `S` that they fill. Declared once, next to the
/// component; defaults are the member initialisers of `S`. Immutable after construction, any thread.
template <typename S>
class Object {
 public:
  explicit Object(std::string doc) : doc_(std::make_shared<ObjectDoc>()) { doc_->doc = std::move(doc); }

  Object& text(std::string name, std::string S::* member, std::string doc, Need need = Need::kOptional,
               Privacy privacy = Privacy::kPublic) {
    const std::string fallback = privacy == Privacy::kSecret ? "" : defaults_.*member;
    add({.name = std::move(name),
         .doc = std::move(doc),
         .required = need == Need::kRequired,
         .secret = privacy == Privacy::kSecret,
         .type = "text",
         .fallback = fallback,
         .json_type = "string"},
        [member](S& into, const Node& node, const Reading& reading) { into.*member = reading.text(node); });
    return *this;
  }
  Object& texts(std::string name, std::vector<std::string> S::* member, std::string doc) {
    add({.name = std::move(name), .doc = std::move(doc), .type = "list of text", .json_type = "strings"},
        [member](S& into, const Node& node, const Reading& reading) { into.*member = reading.texts(node); });
    return *this;
  }
  Object& truth(std::string name, bool S::* member, std::string doc) {
    add({.name = std::move(name),
         .doc = std::move(doc),
         .type = "true or false",
         .fallback = defaults_.*member ? "true" : "false",
         .json_type = "boolean"},
        [member](S& into, const Node& node, const Reading& reading) { into.*member = reading.truth(node); });
    return *this;
  }
  template <typename Integer>
  Object& integer(std::string name, Integer S::* member, std::int64_t least, std::int64_t most, std::string doc) {
    add({.name = std::move(name),
         .doc = std::move(doc),
         .type = "number",
         .fallback = std::to_string(defaults_.*member),
         .json_type = "integer"},
        [member, least, most](S& into, const Node& node, const Reading& reading) {
          into.*member = static_cast<Integer>(reading.integer(node, least, most));
        });
    return *this;
  }
  Object& size(std::string name, std::uint64_t S::* member, std::string doc) {
    add({.name = std::move(name),
         .doc = std::move(doc),
         .type = "size",
         .fallback = print_size(defaults_.*member),
         .json_type = "string"},
        [member](S& into, const Node& node, const Reading& reading) { into.*member = reading.size(node); });
    return *this;
  }
  template <typename Duration>
  Object& duration(std::string name, Duration S::* member, std::string doc) {
    add({.name = std::move(name),
         .doc = std::move(doc),
         .type = "duration",
         .fallback = print_duration(std::chrono::duration_cast<std::chrono::milliseconds>(defaults_.*member)),
         .json_type = "string"},
        [member](S& into, const Node& node, const Reading& reading) {
          into.*member = std::chrono::duration_cast<Duration>(reading.duration(node));
        });
    return *this;
  }
  /// No fallback: the feature is off until a duration is given.
  Object& duration(std::string name, std::optional<std::chrono::milliseconds> S::* member, std::string doc) {
    add({.name = std::move(name), .doc = std::move(doc), .type = "duration", .json_type = "string"},
        [member](S& into, const Node& node, const Reading& reading) { into.*member = reading.duration(node); });
    return *this;
  }
  template <typename Enum>
  Object& choice(std::string name, Enum S::* member, std::vector<std::pair<std::string, Enum>> values,
                 std::string doc) {
    FieldDoc field{.name = std::move(name), .doc = std::move(doc), .type = "one of", .json_type = "string"};
    for (const auto& [word, value] : values) {
      field.choices.push_back(word);
      if (value == defaults_.*member) field.fallback = word;
    }
    auto read = [member, values, choices = field.choices](S& into, const Node& node, const Reading& reading) {
      const std::string given = reading.text(node);
      for (const auto& [word, value] : values) {
        if (word == given) {
          into.*member = value;
          return;
        }
      }
      throw reading.wrong(node, one_of_text(choices));
    };
    add(std::move(field), std::move(read));
    return *this;
  }
  template <typename T>
  Object& object(std::string name, T S::* member, const Object<T>& below, Need need = Need::kOptional) {
    add({.name = std::move(name),
         .doc = below.doc()->doc,
         .required = need == Need::kRequired,
         .type = "map",
         .below = below.doc()},
        [member, below](S& into, const Node& node, const Reading& reading) {
          below.read(into.*member, node, reading);
        });
    return *this;
  }
  /// What no other form covers; `read` checks and stores.
  Object& other(FieldDoc field, std::function<void(S&, const Node&, const Reading&)> read) {
    add(std::move(field), std::move(read));
    return *this;
  }
  /// Exactly one of the declared keys has to be given.
  Object& one_of() {
    doc_->one_of = true;
    return *this;
  }

  /// Fills `into` from a map. Throws ConfigError with the place: unknown, missing and repeated keys, wrong values.
  void read(S& into, const Node& node, const Reading& reading) const {
    for (const auto& [index, entry] : match_fields(*doc_, node, reading)) {
      readers_[index](into, entry->value, reading);
    }
  }
  std::shared_ptr<const ObjectDoc> doc() const { return doc_; }

 private:
  using Reader = std::function<void(S&, const Node&, const Reading&)>;

  void add(FieldDoc field, Reader reader) {
    doc_->fields.push_back(std::move(field));
    readers_.push_back(std::move(reader));
  }

  S defaults_{};
  std::shared_ptr<ObjectDoc> doc_;
  std::vector<Reader> readers_;
};

/// The reference for people: every key with type, default and meaning. Markdown.
std::string render_docs(const ObjectDoc& root);
/// The same as a JSON Schema (draft 2020-12).
std::string render_json_schema(const ObjectDoc& root);

}  // namespace tailrace::config
