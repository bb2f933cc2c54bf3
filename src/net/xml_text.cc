#include "net/xml_text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>

namespace tailrace::net {
namespace {

constexpr std::array<std::pair<std::string_view, char>, 5> kEntities = {
    {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}}};

/// What stands between the next `<name …>` from `at` and its end; `at` moves behind it.
std::optional<std::string_view> next_part(std::string_view xml, std::string_view name, std::size_t& at) {
  const std::string open = fmt::format("<{}", name);
  const std::string close = fmt::format("</{}>", name);
  while (true) {
    const std::size_t begin = xml.find(open, at);
    if (begin == std::string_view::npos) return std::nullopt;
    at = begin + open.size();
    // Else it is the beginning of a longer name.
    if (at >= xml.size() || (xml[at] != '>' && xml[at] != ' ' && xml[at] != '/')) continue;
    const std::size_t end_of_tag = xml.find('>', at);
    if (end_of_tag == std::string_view::npos) return std::nullopt;
    at = end_of_tag + 1;
    if (xml[end_of_tag - 1] == '/') return std::string_view();
    const std::size_t end = xml.find(close, at);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view part = xml.substr(at, end - at);
    at = end + close.size();
    return part;
  }
}

void append_utf8(std::uint32_t code, std::string& out) {
  const auto add = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) return add(code);
  if (code < 0x800) {
    add(0xc0 | code >> 6);
  } else if (code < 0x10000) {
    add(0xe0 | code >> 12);
    add(0x80 | (code >> 6 & 0x3f));
  } else {
    add(0xf0 | code >> 18);
    add(0x80 | (code >> 12 & 0x3f));
    add(0x80 | (code >> 6 & 0x3f));
  }
  add(0x80 | (code & 0x3f));
}

void append_entity(std::string_view entity, std::string& out) {
  for (const auto& [name, character] : kEntities)
    if (entity == name) {
      out += character;
      return;
    }
  if (!entity.starts_with('#')) return;
  entity.remove_prefix(1);
  const bool hex = entity.starts_with('x');
  if (hex) entity.remove_prefix(1);
  std::uint32_t code = 0;
  std::from_chars(entity.data(), entity.data() + entity.size(), code, hex ? 16 : 10);
  append_utf8(code, out);
}

}  // namespace

std::string text_of(std::string_view xml, std::string_view name) {
  std::size_t at = 0;
  const std::string_view text = next_part(xml, name, at).value_or("");
  std::string out;
  for (std::size_t n = 0; n < text.size(); ++n) {
    const std::size_t end = text[n] == '&' ? text.find(';', n) : std::string_view::npos;
    if (end == std::string_view::npos) {
      out += text[n];
      continue;
    }
    append_entity(text.substr(n + 1, end - n - 1), out);
    n = end;
  }
  return out;
}

std::vector<std::string_view> parts_of(std::string_view xml, std::string_view name) {
  std::vector<std::string_view> parts;
  std::size_t at = 0;
  while (const auto part = next_part(xml, name, at)) parts.push_back(*part);
  return parts;
}

std::string xml_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto* entity = kEntities.begin();
    while (entity != kEntities.end() && entity->second != c) ++entity;
    if (entity == kEntities.end()) {
      out += c;
    } else {
      out += fmt::format("&{};", entity->first);
    }
  }
  return out;
}

}  // namespace tailrace::net
