#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "config/document.h"
#include "config/quantity.h"
#include "config/reference.h"

namespace tailrace::config {
namespace {

void visit(const Node& node) {
  parse_size(node.text);
  parse_duration(node.text);
  // No file is to be opened here.
  if (node.text.find("${file:") == std::string::npos) {
    try {
      resolve_references(node.text, [](const std::string&) -> std::optional<std::string> { return "value"; });
    } catch (const BadConfigError&) {
    }
  }
  for (const auto& item : node.items) visit(item);
  for (const auto& entry : node.entries) visit(entry.value);
}

}  // namespace
}  // namespace tailrace::config

/// Whatever the file holds, it is read or refused with a place in it; nothing else may come out.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tailrace::config;
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const File file = File::parse("fuzz.yaml", text);
    for (const Node& document : file.documents()) visit(document);
    if (file.error("TR201", "what", "remedy", {1, 1}, 5).excerpt().empty()) __builtin_trap();
  } catch (const ConfigError&) {
  }
  return 0;
}
