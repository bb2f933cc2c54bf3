#include "cli/frame.h"

#include <algorithm>
#include <cctype>
#include <exception>
#include <iostream>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/lack_of_memory.h"
#include "cli/stop_signals.h"
#include "cli/terminal.h"
#include "config/document.h"

namespace tailrace::cli {
namespace {

const std::map<std::string, log::Level> kLevels = {{"debug", log::Level::kDebug},
                                                   {"info", log::Level::kInfo},
                                                   {"warn", log::Level::kWarn},
                                                   {"error", log::Level::kError},
                                                   {"off", log::Level::kOff}};
const std::map<std::string, log::Format> kFormats = {{"text", log::Format::kText}, {"json", log::Format::kJson}};

/// "until-caught-up" -> "TAILRACE_UNTIL_CAUGHT_UP".
std::string environment_name(std::string flag) {
  std::replace(flag.begin(), flag.end(), '-', '_');
  std::transform(flag.begin(), flag.end(), flag.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return "TAILRACE_" + flag;
}

void mirror_in_environment(CLI::App* app) {
  for (CLI::Option* option : app->get_options([](const CLI::Option* o) { return !o->get_lnames().empty(); })) {
    const std::string flag = option->get_lnames().front();
    if (flag != "help" && flag != "version") option->envname(environment_name(flag));
  }
  for (CLI::App* sub : app->get_subcommands([](const CLI::App*) { return true; })) mirror_in_environment(sub);
}

const CLI::App* parsed_command(const CLI::App* app) {
  const auto subs = app->get_subcommands();
  return subs.empty() ? app : parsed_command(subs.front());
}

std::string path_of(const CLI::App* app) {
  return app->get_parent() == nullptr ? app->get_name() : path_of(app->get_parent()) + " " + app->get_name();
}

/// The first word, where no command was recognised.
std::string unknown_command(const CLI::App& app, int argc, char** argv) {
  if (!app.get_subcommands().empty()) return {};
  for (int i = 1; i < argc; ++i) {
    if (argv[i][0] != '-') return argv[i];
  }
  return {};
}

std::string did_you_mean(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(sub->get_name());
  }
  const std::string meant = config::nearest(word, names);
  return meant.empty() ? "see tailrace --help" : "did you mean `" + meant + "`?";
}

}  // namespace

Frame::Frame() : app_("Keeps DuckDB exactly right from a PostgreSQL WAL.", "tailrace") {
  app_.require_subcommand(1);
  app_.fallthrough();
  app_.get_formatter()->column_width(34);
  app_.footer("Start here: tailrace mirror postgresql://localhost/shop shop.duckdb\n");
  add_global_options();
}

void Frame::add_global_options() {
  app_.add_flag("--json", globals_.json, "One JSON document on stdout (JSON lines for streams)")->group("Everywhere");
  app_.add_option("--log-level", globals_.log_level, "debug, info, warn, error or off")
      ->transform(CLI::CheckedTransformer(kLevels, CLI::ignore_case).description(""))
      ->type_name("LEVEL")
      ->group("Everywhere");
  app_.add_option("--log-format", globals_.log_format, "text or json; logs go to stderr")
      ->transform(CLI::CheckedTransformer(kFormats, CLI::ignore_case).description(""))
      ->type_name("FORMAT")
      ->group("Everywhere");
  app_.add_flag("--no-color", globals_.no_color, "No colours (as with NO_COLOR)")->group("Everywhere");
  app_.add_flag("-q,--quiet", globals_.quiet, "Nothing but results and errors")->group("Everywhere");
  app_.add_flag("--no-input", globals_.no_input, "Never ask")->group("Everywhere");
  app_.add_flag("--yes", globals_.yes, "Answer every question with yes")->group("Everywhere");
  app_.add_option("--state", globals_.state, "State directory (default ./tailrace-data/NAME)")
      ->type_name("DIR")
      ->group("Everywhere");
}

CLI::App* Frame::command(const std::string& name, const std::string& description, const std::string& example, Body body,
                         OnSignal on_signal) {
  return command_below(&app_, name, description, example, std::move(body), on_signal);
}

CLI::App* Frame::command_below(CLI::App* parent, const std::string& name, const std::string& description,
                               const std::string& example, Body body, OnSignal on_signal) {
  CLI::App* sub = parent->add_subcommand(name, description);
  sub->fallthrough();
  sub->footer("Example: " + example + "\n");
  sub->callback([this, body = std::move(body), on_signal] {
    chosen_ = body;
    on_signal_ = on_signal;
  });
  return sub;
}

CLI::App* Frame::group(const std::string& name, const std::string& description) {
  CLI::App* sub = app_.add_subcommand(name, description);
  sub->fallthrough();
  sub->require_subcommand(1);
  return sub;
}

int Frame::run(int argc, char** argv) {
  mirror_in_environment(&app_);
  try {
    app_.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app_.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app_.exit(help);
  } catch (const CLI::ParseError& error) {
    if (argc < 2) {
      std::cerr << app_.help();
      return static_cast<int>(ExitCode::kBadRequest);
    }
    const std::string command = path_of(parsed_command(&app_));
    const std::string unknown = unknown_command(app_, argc, argv);
    if (unknown.empty()) {
      print_error(BadConfigError("TR200", error.what(), "see " + command + " --help"), globals_.json);
    } else {
      print_error(BadConfigError("TR200", "unknown command `" + unknown + "`", did_you_mean(app_, unknown)),
                  globals_.json);
    }
    return static_cast<int>(ExitCode::kBadRequest);
  }
  set_color(!globals_.no_color);
  log::configure(globals_.log_level, globals_.log_format);
  return run_body();
}

int Frame::run_body() {
  if (on_signal_ == OnSignal::kEnd) release_stop_signals();
  const auto told = [this](const Error& error) {
    print_error(error, globals_.json);
    return static_cast<int>(error.exit_code());
  };
  try {
    return static_cast<int>(chosen_(globals_));
  } catch (const Error& error) {
    return told(error);
  } catch (const std::exception& error) {
    if (is_lack_of_memory(error)) return told(lack_of_memory());
    return told(DefectError(error.what()));
  }
}

}  // namespace tailrace::cli
