#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "cli/commands.h"
#include "cli/embedded_docs.h"
#include "cli/registry.h"
#include "config/schema.h"

namespace tailrace::cli {
namespace {

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

/// The section of codes.md that begins with "## CODE", without the next one; empty when there is none.
std::string_view section_of(std::string_view page, const std::string& code) {
  const std::string heading = "## " + code + " ";
  const auto from = page.starts_with(heading) ? 0 : page.find("\n" + heading);
  if (from == std::string_view::npos) return {};
  const auto begin = from == 0 ? 0 : from + 1;
  const auto end = page.find("\n## ", begin + 1);
  return page.substr(begin, end == std::string_view::npos ? end : end - begin);
}

std::string topic_list() {
  std::string names =
      "  config           Every key of a pipeline file\n  schema           The same as a JSON Schema, for editors\n";
  for (const EmbeddedPage& page : embedded_pages()) names += fmt::format("  {:<16} {}\n", page.name, page.title);
  return names;
}

std::string find_text(const std::string& topic) {
  if (topic == "config") return config::render_docs(*pipeline::pipeline_doc(components()));
  if (topic == "schema") return config::render_json_schema(*pipeline::pipeline_doc(components()));
  for (const EmbeddedPage& page : embedded_pages()) {
    if (page.name == topic) return std::string(page.text);
    if (page.name != "codes") continue;
    if (const auto section = section_of(page.text, upper(topic)); !section.empty()) return std::string(section);
  }
  return {};
}

ExitCode show(const std::string& topic, const GlobalOptions& globals) {
  if (topic.empty()) {
    std::cout << "tailrace docs TOPIC, or tailrace docs TRnnn for the page of an error code.\n\n" << topic_list();
    return ExitCode::kDone;
  }
  const std::string text = find_text(topic);
  if (text.empty())
    throw BadConfigError("TR204", fmt::format("there is no page `{}`", topic), "tailrace docs lists the pages");
  if (globals.json)
    std::cout << nlohmann::json{{"topic", topic}, {"text", text}}.dump() << "\n";
  else
    std::cout << text << (text.ends_with('\n') ? "" : "\n");
  return ExitCode::kDone;
}

}  // namespace

void add_docs_command(Frame& frame) {
  auto topic = std::make_shared<std::string>();
  CLI::App* command =
      frame.command("docs", "Show a page of the documentation, or what an error code means", "tailrace docs TR104",
                    [topic](const GlobalOptions& globals) { return show(*topic, globals); });
  command->add_option("topic", *topic, "Page or code");
}

}  // namespace tailrace::cli
