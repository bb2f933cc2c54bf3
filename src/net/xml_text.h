#pragma once

#include <string>
#include <string_view>
#include <vector>

/// The small part of XML that S3 servers answer with: elements without attributes that matter, text with the five named
/// entities and numbers. All functions are pure.
namespace tailrace::net {

/// The text of the first element of this name, entities resolved; empty where there is none.
std::string text_of(std::string_view xml, std::string_view name);
/// What is inside of each element of this name.
std::vector<std::string_view> parts_of(std::string_view xml, std::string_view name);
std::string xml_escaped(std::string_view text);

}  // namespace tailrace::net
