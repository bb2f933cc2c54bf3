#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "config/config_error.h"

namespace tailrace::config {

/// A place in a file, both counted from 1; line 0 = unknown.
struct Place {
  int line = 0;
  int column = 0;
};

struct Entry;

/// One value of a YAML document, before its references are resolved. A value.
struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  /// Scalars only: the text as written, without quotes.
  std::string text;
  /// Scalars only: quoted in the file, so never a number or a truth value by itself.
  bool quoted = false;
  std::vector<Node> items;
  std::vector<Entry> entries;
  Place place;

  /// The value under `key`, or null. Maps only.
  const Node* find(std::string_view key) const;
};

/// A key of a map and what stands under it.
struct Entry {
  std::string key;
  Place place;
  Node value;
};

/// One YAML file: its documents, and its text for showing places in it. Immutable; any thread.
class File {
 public:
  /// `name` is how errors call it. Throws ConfigError TR205 where the text is not YAML, or is nested or aliased beyond
  /// any sense.
  static File parse(std::string name, std::string text);
  /// Throws ConfigError TR208 when it cannot be read.
  static File load(const std::filesystem::path& path);

  const std::string& name() const { return name_; }
  const std::vector<Node>& documents() const { return documents_; }

  /// An error at a place of this file; `width` columns are underlined. Passwords on that line are starred out.
  ConfigError error(std::string code, const std::string& what, std::string remedy, Place place,
                    std::size_t width = 1) const;

 private:
  std::string name_;
  std::string text_;
  std::vector<Node> documents_;
};

/// Stars over what looks like a password or key in `line`, without changing its length.
std::string without_secrets(std::string line);

/// Whichever of `candidates` is meant by the misspelt `word`; empty when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace tailrace::config
