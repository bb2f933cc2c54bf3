#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"

namespace tailrace::cli {
namespace {

/// Names of the command's options and of those of the commands below it.
std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back(name);
  for (const CLI::App* sub : app.get_subcommands(nullptr))
    for (std::string& name : option_names(*sub))
      if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  return names;
}

std::string global_options(const CLI::App& app) {
  std::string words;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
  return words;
}

std::string subcommands(const CLI::App& app) {
  std::string words;
  for (const CLI::App* sub : app.get_subcommands(nullptr)) words += sub->get_name() + " ";
  return words;
}

/// One `case` branch for each command: what may follow it.
std::string branches(const CLI::App& app, const std::string& indent) {
  std::string text;
  for (const CLI::App* sub : app.get_subcommands(nullptr)) {
    std::string words = subcommands(*sub) + global_options(app);
    for (const std::string& name : option_names(*sub))
      if (words.find("--" + name + " ") == std::string::npos) words += "--" + name + " ";
    text += fmt::format("{}{}) words=\"{}\" ;;\n", indent, sub->get_name(), words);
  }
  return text;
}

std::string bash_script(const CLI::App& app) {
  return "_tailrace() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} words=\n"
         "  if [[ $COMP_CWORD -eq 1 ]]; then words=\"" +
         subcommands(app) + global_options(app) + "\"; else\n  case ${COMP_WORDS[1]} in\n" + branches(app, "    ") +
         "  esac; fi\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "  [[ ${#COMPREPLY[@]} -eq 0 && $current != -* ]] && COMPREPLY=($(compgen -f -- \"$current\"))\n"
         "}\ncomplete -o filenames -F _tailrace tailrace\n";
}

std::string zsh_script(const CLI::App& app) {
  return "#compdef tailrace\nautoload -U +X bashcompinit && bashcompinit\n" + bash_script(app);
}

std::string fish_script(const CLI::App& app) {
  std::string text = "complete -c tailrace -f -n __fish_use_subcommand -a '" + subcommands(app) + "'\n";
  for (const CLI::App* sub : app.get_subcommands(nullptr)) {
    const std::string seen = fmt::format("complete -c tailrace -n '__fish_seen_subcommand_from {}'", sub->get_name());
    for (const CLI::App* below : sub->get_subcommands(nullptr))
      text += fmt::format("{} -f -a {}\n", seen, below->get_name());
    for (const std::string& name : option_names(*sub)) text += fmt::format("{} -l {}\n", seen, name);
  }
  return text;
}

ExitCode print_script(const CLI::App& app, const std::string& shell) {
  if (shell == "bash")
    std::cout << bash_script(app);
  else if (shell == "zsh")
    std::cout << zsh_script(app);
  else if (shell == "fish")
    std::cout << fish_script(app);
  else
    throw BadConfigError("TR204", fmt::format("no completion for `{}`", shell), "bash, zsh or fish");
  return ExitCode::kDone;
}

}  // namespace

void add_completion_command(Frame& frame) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command =
      frame.command("completion", "Print a completion script for a shell", "source <(tailrace completion bash)",
                    [shell, &frame](const GlobalOptions&) { return print_script(frame.app(), *shell); });
  command->add_option("shell", *shell, "bash, zsh or fish")->required();
}

}  // namespace tailrace::cli
