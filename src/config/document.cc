#include "config/document.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <iterator>
#include <numeric>
#include <sstream>
#include <utility>

namespace tailrace::config {
namespace {

constexpr int kMaxDepth = 32;
constexpr std::size_t kMaxNodes = 100'000;
constexpr std::size_t kMaxFileBytes = 4U << 20;

Place place_of(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {mark.line + 1, mark.column + 1};
}

/// Turns yaml-cpp's graph into a tree. Aliases are unfolded, so the count of nodes has a bound.
class TreeBuilder {
 public:
  explicit TreeBuilder(const File& file) : file_(file) {}

  Node build(const YAML::Node& from, int depth) {
    Node node;
    node.place = place_of(from.Mark());
    if (depth > kMaxDepth || ++nodes_ > kMaxNodes) {
      throw file_.error("TR205", "the file is nested or aliased beyond measure", "write it flatter", node.place);
    }
    switch (from.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null: break;
      case YAML::NodeType::Scalar:
        node.kind = Node::Kind::kScalar;
        node.text = from.Scalar();
        node.quoted = from.Tag() == "!";
        break;
      case YAML::NodeType::Sequence:
        node.kind = Node::Kind::kList;
        for (const auto& item : from) node.items.push_back(build(item, depth + 1));
        break;
      case YAML::NodeType::Map:
        node.kind = Node::Kind::kMap;
        for (const auto& entry : from) add_entry(node, entry.first, entry.second, depth);
        break;
    }
    return node;
  }

 private:
  void add_entry(Node& map, const YAML::Node& key, const YAML::Node& value, int depth) {
    const Place place = place_of(key.Mark());
    if (!key.IsScalar()) throw file_.error("TR205", "a key must be plain text", "write `key: value`", place);
    if (map.find(key.Scalar()) != nullptr) {
      throw file_.error("TR207", fmt::format("`{}` is given twice", key.Scalar()), "remove one of them", place,
                        key.Scalar().size());
    }
    map.entries.push_back({key.Scalar(), place, build(value, depth + 1)});
  }

  const File& file_;
  std::size_t nodes_ = 0;
};

std::string line_of(std::string_view text, int line) {
  std::size_t from = 0;
  for (int i = 1; i < line; ++i) {
    from = text.find('\n', from);
    if (from == std::string_view::npos) return {};
    ++from;
  }
  std::string found(text.substr(from, text.find('\n', from) - from));
  std::replace_if(found.begin(), found.end(), [](unsigned char c) { return c < 0x20; }, ' ');
  return found;
}

std::size_t find_ignoring_case(const std::string& in, std::string_view word, std::size_t from) {
  const auto at = std::search(in.begin() + static_cast<std::ptrdiff_t>(from), in.end(), word.begin(), word.end(),
                              [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
  return at == in.end() ? std::string::npos : static_cast<std::size_t>(at - in.begin());
}

/// Stars from `from` to the end of the value that begins there.
void star_value(std::string& line, std::size_t from, std::string_view ends) {
  for (std::size_t i = from; i < line.size() && ends.find(line[i]) == std::string_view::npos; ++i) line[i] = '*';
}

/// `key: value`, `key: "value"` and `key=value`.
void star_after_key(std::string& line, std::string_view key) {
  for (std::size_t at = 0; (at = find_ignoring_case(line, key, at)) != std::string::npos; at += key.size()) {
    std::size_t i = at + key.size();
    while (i < line.size() && (std::isalnum(static_cast<unsigned char>(line[i])) != 0 || line[i] == '_')) ++i;
    while (i < line.size() && (line[i] == '"' || line[i] == '\'')) ++i;
    if (i >= line.size() || (line[i] != ':' && line[i] != '=')) continue;
    const bool assigned = line[i++] == '=';
    while (i < line.size() && line[i] == ' ') ++i;
    const char quote = i < line.size() && (line[i] == '"' || line[i] == '\'') ? line[i++] : '\0';
    if (line.compare(i, 2, "${") == 0) continue;
    const std::string ends = quote != '\0' ? std::string(1, quote) : std::string(assigned ? " &,}\"'" : ",}");
    star_value(line, i, ends);
  }
}

/// Follows the parser from document to document, only to see that each begins behind the last one.
class DocumentStarts final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { start_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
  const YAML::Mark& start() const { return start_; }

 private:
  YAML::Mark start_;
};

/// A stray closing bracket makes yaml-cpp give empty documents at that place for ever: refuse the file there.
void refuse_endless_documents(const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  DocumentStarts starts;
  int last = -1;
  while (parser.HandleNextDocument(starts)) {
    if (starts.start().pos <= last) throw YAML::ParserException(starts.start(), "nothing that could stand here");
    last = starts.start().pos;
  }
}

}  // namespace

const Node* Node::find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

File File::parse(std::string name, std::string text) {
  File file;
  file.name_ = std::move(name);
  file.text_ = std::move(text);
  if (file.text_.size() > kMaxFileBytes) {
    throw file.error("TR205", "the file is larger than 4 MiB", "a pipeline file is small: is it the right one?", {});
  }
  try {
    refuse_endless_documents(file.text_);
    TreeBuilder builder(file);
    for (const YAML::Node& document : YAML::LoadAll(file.text_)) {
      Node node = builder.build(document, 0);
      if (node.kind != Node::Kind::kNull) file.documents_.push_back(std::move(node));
    }
  } catch (const YAML::Exception& error) {
    throw file.error("TR205", fmt::format("not YAML: {}", error.msg), "mend the syntax at the marked place",
                     place_of(error.mark));
  }
  return file;
}

File File::load(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text;
  if (in && !std::filesystem::is_directory(path)) {
    text.assign(std::istreambuf_iterator<char>(in), {});
    if (!in.bad()) return parse(path.string(), std::move(text));
  }
  throw ConfigError("TR208", fmt::format("cannot read {}", path.string()),
                    "check the path and its permissions; `tailrace init SOURCE` writes a first file", "");
}

ConfigError File::error(std::string code, const std::string& what, std::string remedy, Place place,
                        std::size_t width) const {
  if (place.line == 0) return {std::move(code), what, std::move(remedy), fmt::format(" --> {}\n", name_)};
  std::string excerpt = fmt::format(" --> {}:{}:{}\n", name_, place.line, place.column);
  const std::string line = without_secrets(line_of(text_, place.line));
  const auto column = static_cast<std::size_t>(std::max(place.column, 1)) - 1;
  if (column <= line.size() && line.size() < 400) {
    const std::string number = std::to_string(place.line);
    const std::string margin(number.size(), ' ');
    const std::size_t carets = std::clamp<std::size_t>(width, 1, std::max<std::size_t>(line.size() - column, 1));
    excerpt += fmt::format("{} |\n{} | {}\n{} | {}{}\n", margin, number, line, margin, std::string(column, ' '),
                           std::string(carets, '^'));
  }
  return {std::move(code), what, std::move(remedy), std::move(excerpt)};
}

std::string without_secrets(std::string line) {
  for (std::size_t at = 0; (at = line.find("://", at)) != std::string::npos;) {
    at += 3;
    const std::size_t end = line.find_first_of(" \t\"'/?", at);
    const std::size_t host = line.rfind('@', end);
    const std::size_t colon = line.find(':', at);
    if (host == std::string::npos || host < at || colon == std::string::npos || colon > host) continue;
    if (line.compare(colon + 1, 2, "${") == 0) continue;
    for (std::size_t i = colon + 1; i < host; ++i) line[i] = '*';
  }
  for (const std::string_view key : {"password", "secret", "token", "private_key", "api_key", "passfile"}) {
    star_after_key(line, key);
  }
  return line;
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    // Levenshtein's distance with neighbours swapped counted as one step.
    std::vector<std::size_t> before;
    std::vector<std::size_t> previous(candidate.size() + 1);
    std::vector<std::size_t> current(candidate.size() + 1);
    std::iota(previous.begin(), previous.end(), 0U);
    for (std::size_t i = 1; i <= word.size(); ++i) {
      current[0] = i;
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        const std::size_t cost = word[i - 1] == candidate[j - 1] ? 0 : 1;
        current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + cost});
        const bool swapped = i > 1 && j > 1 && word[i - 1] == candidate[j - 2] && word[i - 2] == candidate[j - 1];
        if (swapped) current[j] = std::min(current[j], before[j - 2] + 1);
      }
      before = std::exchange(previous, current);
    }
    if (previous[candidate.size()] < best_distance) {
      best_distance = previous[candidate.size()];
      best = candidate;
    }
  }
  return best;
}

}  // namespace tailrace::config
