#include "cli/dlq_command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "cli/letter_lines.h"
#include "cli/terminal.h"
#include "pipeline/control_client.h"
#include "pipeline/dead_letters.h"
#include "pipeline/state_directory.h"
#include "sinks/letter_replay.h"

namespace tailrace::cli {
namespace {

using Json = nlohmann::ordered_json;
using pipeline::DeadLetters;
using pipeline::KeptLetter;
using pipeline::LetterChoice;

struct DlqArguments {
  /// The pipeline's name, if any, then ids.
  std::vector<std::string> words;
  std::string sink;
  std::string file;
  bool values = false;
  std::vector<std::string> edits;
  bool rehearsal = false;
};

/// The runner may be in a large batch.
constexpr std::chrono::milliseconds kReplayPatience = std::chrono::minutes(1);

std::optional<std::uint64_t> letter_id_of(const std::string& word) {
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return id;
}

/// What the words of a command mean. Throws BadConfigError TR204.
struct AskedLetters {
  explicit AskedLetters(const DlqArguments& arguments) {
    choice.sink = arguments.sink;
    for (const std::string& word : arguments.words) {
      if (const std::optional<std::uint64_t> id = letter_id_of(word)) {
        choice.ids.push_back(*id);
      } else if (&word == &arguments.words.front()) {
        name = word;
      } else {
        throw BadConfigError("TR204", fmt::format("`{}` is no number of a dead letter", word),
                             "`tailrace dlq list` shows them");
      }
    }
  }
  std::string name;
  LetterChoice choice;
};

DeadLetters open_letters(const std::string& name, const GlobalOptions& globals) {
  return DeadLetters(pipeline::find_state(globals.state, name).catalog());
}

std::string dumped_line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

ExitCode list_letters(const AskedLetters& asked, const GlobalOptions& globals) {
  DeadLetters letters = open_letters(asked.name, globals);
  bool head = !globals.json;
  letters.for_each(asked.choice, DeadLetters::Rows::kWithout, [&](const KeptLetter& letter) {
    if (std::exchange(head, false))
      fmt::print("{:<6} {:<12} {:<20} {:<20} {:<9} {:>5}  {}\n", "ID", "SINK", "POSITION", "TABLE", "CHANGE", "TRIED",
                 "REASON");
    fmt::print("{}\n", globals.json ? dumped_line(letter_json(letter, Values::kHidden)) : letter_line(letter));
  });
  return ExitCode::kDone;
}

ExitCode count_letters(const AskedLetters& asked, const GlobalOptions& globals) {
  std::uint64_t total = 0;
  Json groups = Json::array();
  for (const pipeline::LetterCount& one : open_letters(asked.name, globals).count(asked.choice.sink)) {
    total += one.letters;
    groups.push_back({{"sink", one.sink}, {"table", one.table}, {"reason", one.reason}, {"letters", one.letters}});
    if (!globals.json) fmt::print("{:>10}  {}  {}  {}\n", one.letters, one.sink, one.table, one.reason);
  }
  if (globals.json) {
    fmt::print("{}\n", dumped_line({{"letters", total}, {"groups", std::move(groups)}}));
  } else {
    fmt::print("{:>10}  dead letters\n", total);
  }
  return ExitCode::kDone;
}

ExitCode show_letters(const AskedLetters& asked, bool values, const GlobalOptions& globals) {
  DeadLetters letters = open_letters(asked.name, globals);
  const auto rows = values ? DeadLetters::Rows::kWith : DeadLetters::Rows::kWithout;
  letters.for_each(asked.choice, rows, [&](const KeptLetter& letter) {
    const Json json = letter_json(letter, values ? Values::kShown : Values::kHidden);
    fmt::print("{}\n", globals.json ? dumped_line(json) : json.dump(2, ' ', false, Json::error_handler_t::replace));
  });
  return ExitCode::kDone;
}

ExitCode export_letters(const AskedLetters& asked, const std::string& path, const GlobalOptions& globals) {
  DeadLetters letters = open_letters(asked.name, globals);
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(nullptr, std::fclose);
  if (!path.empty()) {
    // Rows of others' tables: for the owner's eyes.
    UniqueFd made(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!made && errno == EEXIST)
      throw BadConfigError("TR217", fmt::format("{} is there already", path), "name another file, or remove it");
    if (made) file.reset(::fdopen(::dup(made.get()), "w"));
    if (!file) throw BadConfigError("TR218", fmt::format("{} cannot be written", path), "name another file with -o");
  }
  std::FILE* out = file ? file.get() : stdout;
  std::uint64_t exported = 0;
  letters.for_each(asked.choice, DeadLetters::Rows::kWith, [&](const KeptLetter& letter) {
    fmt::print(out, "{}\n", dumped_line(letter_json(letter, Values::kShown)));
    ++exported;
  });
  if (std::fflush(out) != 0 || (file && ::fsync(::fileno(out)) != 0))
    throw BadConfigError("TR218", "not all dead letters could be written", "free space, or name another file with -o");
  if (file && !globals.quiet) fmt::print("{} dead letters are in {}\n", exported, path);
  return ExitCode::kDone;
}

ExitCode drop_letters(const AskedLetters& asked, const GlobalOptions& globals) {
  if (asked.choice.ids.empty() && !globals.yes)
    throw BadConfigError("TR216", "no dead letter was dropped, since none is named",
                         "name their numbers, or add --yes for all of them");
  const std::uint64_t dropped = open_letters(asked.name, globals).drop(asked.choice);
  if (globals.json) {
    fmt::print("{}\n", dumped_line({{"dropped", dropped}}));
  } else if (!globals.quiet) {
    fmt::print("{} dead letters dropped\n", dropped);
  }
  return ExitCode::kDone;
}

/// "column=text"; "column=null" for NULL, and "column=\"null\"" for that word. Throws BadConfigError TR204.
sinks::ColumnEdit column_edit_of(const std::string& word) {
  const std::size_t split = word.find('=');
  if (split == std::string::npos || split == 0)
    throw BadConfigError("TR204", fmt::format("`{}` sets nothing", word), "write --set column=value");
  sinks::ColumnEdit edit{word.substr(0, split), word.substr(split + 1)};
  if (edit.text == "null") {
    edit.text.reset();
  } else if (edit.text->starts_with('"')) {
    const Json text = Json::parse(*edit.text, nullptr, false);
    if (!text.is_string())
      throw BadConfigError("TR204", fmt::format("the value for `{}` is no JSON string", edit.column),
                           "write it without quotes, or as JSON");
    edit.text = text.get<std::string>();
  }
  return edit;
}

/// The numbers of letters that are meant, by their sink.
std::map<std::string, std::vector<std::uint64_t>> ids_by_sink(const AskedLetters& asked, const GlobalOptions& globals) {
  std::map<std::string, std::vector<std::uint64_t>> ids;
  open_letters(asked.name, globals).for_each(asked.choice, DeadLetters::Rows::kWithout, [&](const KeptLetter& letter) {
    ids[letter.sink].push_back(letter.id);
  });
  return ids;
}

ExitCode replay_letters(const AskedLetters& asked, const DlqArguments& arguments, const GlobalOptions& globals) {
  if (asked.choice.ids.empty() && (!globals.yes || !arguments.edits.empty()))
    throw BadConfigError("TR216", "no dead letter was replayed, since none is named",
                         "name their numbers, or add --yes for all of them as they are");
  Json edits = Json::array();
  for (const std::string& word : arguments.edits) {
    const sinks::ColumnEdit edit = column_edit_of(word);
    edits.push_back({{"column", edit.column}, {"text", edit.text ? Json(*edit.text) : Json(nullptr)}});
  }
  const auto letters = ids_by_sink(asked, globals);
  auto client = pipeline::ControlClient::connect(pipeline::find_state(globals.state, asked.name));
  if (!client)
    throw RetryError("TR514", "this pipeline is not running", "start it with `tailrace run` or `tailrace mirror`");
  for (const auto& [sink, ids] : letters) {
    const nlohmann::json answer = client->ask({{"do", "replay"},
                                               {"sink", sink},
                                               {"ids", ids},
                                               {"edits", edits},
                                               {"rehearsal", arguments.rehearsal},
                                               {"timeout_ms", kReplayPatience.count()}});
    if (globals.json) {
      fmt::print("{}\n", dumped_line({{"sink", sink},
                                      {"replayed", answer.at("replayed")},
                                      {"followed", answer.at("followed")},
                                      {"superseded", answer.at("superseded")},
                                      {"dry_run", arguments.rehearsal}}));
    } else if (!globals.quiet) {
      fmt::print("{}: {} dead letters {} in their places; {} later changes of their rows {}\n", sink,
                 answer.value("replayed", std::uint64_t{0}), arguments.rehearsal ? "would be applied" : "were applied",
                 answer.value("followed", std::uint64_t{0}), arguments.rehearsal ? "would follow" : "followed");
      if (const auto superseded = answer.value("superseded", std::uint64_t{0}); superseded > 0)
        fmt::print(
            "{}: {} dead letters of these rows are older than what the target has; they stay, and can be dropped\n",
            sink, superseded);
    }
  }
  return ExitCode::kDone;
}

CLI::App* add_dlq_verb(Frame& frame, CLI::App* group, const char* name, const char* description, const char* example,
                       const std::shared_ptr<DlqArguments>& arguments,
                       const std::function<ExitCode(const AskedLetters&, const GlobalOptions&)>& body) {
  CLI::App* command = frame.command_below(
      group, name, description, example,
      [arguments, body](const GlobalOptions& globals) { return body(AskedLetters(*arguments), globals); });
  command->add_option("name", arguments->words, "Pipeline (default: the only one here), then numbers of letters")
      ->type_name("[NAME] [ID...]");
  command->add_option("--sink", arguments->sink, "Only letters of this sink")->type_name("SINK");
  return command;
}

}  // namespace

void add_dlq_command(Frame& frame) {
  const auto arguments = std::make_shared<DlqArguments>();
  CLI::App* group = frame.group("dlq", "Dead letters: changes that a sink cannot take, kept whole");
  add_dlq_verb(frame, group, "list", "One line for each", "tailrace dlq list shop", arguments, list_letters);
  add_dlq_verb(frame, group, "count", "How many, by sink, table and reason", "tailrace dlq count shop --json",
               arguments, count_letters);
  add_dlq_verb(frame, group, "show", "All that is known of them; rows only with --values",
               "tailrace dlq show shop 17 --values", arguments,
               [arguments](const AskedLetters& asked, const GlobalOptions& globals) {
                 return show_letters(asked, arguments->values, globals);
               })
      ->add_flag("--values", arguments->values, "Also the values of the rows");
  add_dlq_verb(frame, group, "export", "Write them as JSON lines, with the values of their rows",
               "tailrace dlq export shop -o letters.jsonl", arguments,
               [arguments](const AskedLetters& asked, const GlobalOptions& globals) {
                 return export_letters(asked, arguments->file, globals);
               })
      ->add_option("-o,--output", arguments->file, "A new file (default: stdout)")
      ->type_name("FILE");
  CLI::App* replay_command =
      add_dlq_verb(frame, group, "replay", "Make them changes again, each in its place, with what waits for their rows",
                   "tailrace dlq replay shop 17 --set amount=0 --dry-run", arguments,
                   [arguments](const AskedLetters& asked, const GlobalOptions& globals) {
                     return replay_letters(asked, *arguments, globals);
                   });
  replay_command
      ->add_option("--set", arguments->edits, "Another value of the new row; null for NULL, \"null\" for the word")
      ->type_name("COLUMN=VALUE")
      ->allow_extra_args(false);
  replay_command->add_flag("--dry-run", arguments->rehearsal, "Try it, and write nothing");
  add_dlq_verb(frame, group, "drop", "Remove them for good", "tailrace dlq drop shop 17 18", arguments, drop_letters);
}

}  // namespace tailrace::cli
