#include "config/reference.h"

#include <fmt/format.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/error.h"

namespace tailrace::config {
namespace {

constexpr std::string_view kFile = "file:";

bool is_name(std::string_view text) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text.front())) != 0) return false;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_') return false;
  }
  return true;
}

std::string read_secret(const std::string& path) {
  std::error_code ignored;
  std::ifstream in(path, std::ios::binary);
  if (!in || std::filesystem::is_directory(path, ignored)) {
    throw BadConfigError("TR206", fmt::format("cannot read {}", path), "check the path and its permissions");
  }
  std::string text(std::istreambuf_iterator<char>(in), {});
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

std::string look_up(std::string_view reference, const Environment& environment) {
  if (reference.substr(0, kFile.size()) == kFile) return read_secret(std::string(reference.substr(kFile.size())));
  const std::size_t dash = reference.find(":-");
  const std::string name(reference.substr(0, dash));
  if (!is_name(name)) {
    throw BadConfigError("TR203", fmt::format("`${{{}}}` is not a reference", reference),
                         "write ${NAME}, ${NAME:-default} or ${file:/path}; $${ is a plain ${");
  }
  const std::optional<std::string> value = environment(name);
  if (value && (!value->empty() || dash == std::string_view::npos)) return *value;
  if (dash != std::string_view::npos) return std::string(reference.substr(dash + 2));
  throw BadConfigError("TR203", fmt::format("${{{}}} is not set", name),
                       fmt::format("export {}, or write ${{{}:-default}}", name, name));
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
}

std::string resolve_references(std::string_view text, const Environment& environment) {
  std::string out;
  while (!text.empty()) {
    const std::size_t at = text.find("${");
    out.append(text.substr(0, at));
    if (at == std::string_view::npos) break;
    if (at > 0 && text[at - 1] == '$') {
      out += '{';
      text.remove_prefix(at + 2);
      continue;
    }
    const std::size_t end = text.find('}', at);
    if (end == std::string_view::npos) {
      throw BadConfigError("TR203", "a reference is not closed", "write ${NAME}; $${ is a plain ${");
    }
    out += look_up(text.substr(at + 2, end - at - 2), environment);
    text.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace tailrace::config
