#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/journal_lines.h"
#include "cli/terminal.h"
#include "journal/inspect.h"
#include "pipeline/state_directory.h"

namespace tailrace::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Request {
  std::string where;
  std::string from;
  std::string to;
  std::vector<std::string> tables;
  bool values = false;
  bool follow = false;
};

bool holds_segments(const fs::path& directory) {
  std::error_code code;
  for (fs::directory_iterator it(directory, code), end; !code && it != end; it.increment(code))
    if (it->path().extension() == ".seg") return true;
  return false;
}

/// The journal meant: a journal's or a state directory, or the name of a pipeline whose state is in the usual place.
fs::path find_journal(const std::string& where, const GlobalOptions& globals) {
  std::vector<fs::path> candidates;
  if (!globals.state.empty()) candidates.emplace_back(globals.state);
  if (!where.empty()) {
    candidates.emplace_back(where);
    candidates.push_back(pipeline::default_state_root() / where);
  }
  if (candidates.empty()) {
    std::error_code code;
    for (fs::directory_iterator it(pipeline::default_state_root(), code), end; !code && it != end; it.increment(code))
      candidates.push_back(it->path());
    if (candidates.size() > 1)
      throw BadConfigError("TR406", "there are several pipelines here", "name one: tailrace journal ls NAME");
  }
  for (const fs::path& candidate : candidates) {
    if (holds_segments(candidate / "journal")) return candidate / "journal";
    if (holds_segments(candidate)) return candidate;
  }
  throw BadConfigError("TR406", where.empty() ? "there is no journal here" : "there is no journal of " + where,
                       "give a pipeline's name, its state directory, or the directory that holds the .seg files");
}

/// "0/16B3748", "2:0/16B3748" or "2:0/16B3748:5"; the epoch is `epoch` where it is not given. Without an ordinal it is
/// the end of what committed there.
Position parse_position(const std::string& text, std::uint32_t epoch) {
  Position position;
  position.epoch = epoch;
  position.ordinal = std::numeric_limits<std::uint64_t>::max();
  std::string rest = text;
  const auto number = [&](std::string_view digits, auto& out) {
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return code == std::errc() && end == digits.data() + digits.size();
  };
  bool good = true;
  if (const auto colon = rest.find(':'); colon != std::string::npos) {
    good = number(std::string_view(rest).substr(0, colon), position.epoch);
    rest.erase(0, colon + 1);
  }
  if (const auto colon = rest.find(':'); colon != std::string::npos) {
    good = good && number(std::string_view(rest).substr(colon + 1), position.ordinal);
    rest.erase(colon);
  }
  const auto lsn = Lsn::parse(rest);
  if (!good || !lsn)
    throw BadConfigError("TR204", "`" + text + "` is not a position", "write it as 0/16B3748 or EPOCH:0/16B3748");
  position.commit_end = *lsn;
  return position;
}

ExitCode list(const Request& request, const GlobalOptions& globals) {
  const journal::Inspector inspector(find_journal(request.where, globals));
  Json lines = Json::array();
  for (const auto& segment : inspector.segments()) {
    if (!globals.json) {
      std::cout << fmt::format(
          "{}  {:>24} .. {:<24} {:>9} of {:>9}{}{}\n", segment.name, segment.behind.str(), segment.last.str(),
          human_bytes(segment.used_bytes), human_bytes(segment.file_bytes),
          segment.adopted_files == 0
              ? ""
              : fmt::format(" + {} in {} files", human_bytes(segment.adopted_bytes), segment.adopted_files),
          segment.sealed ? "" : "  (written to)");
      continue;
    }
    lines.push_back({{"segment", segment.name},
                     {"behind", segment.behind.str()},
                     {"last", segment.last.str()},
                     {"created", segment.created.str()},
                     {"used_bytes", segment.used_bytes},
                     {"file_bytes", segment.file_bytes},
                     {"adopted_files", segment.adopted_files},
                     {"adopted_bytes", segment.adopted_bytes},
                     {"sealed", segment.sealed}});
  }
  if (globals.json) std::cout << lines.dump() << "\n";
  return ExitCode::kDone;
}

class Printer {
 public:
  Printer(const Request& request, const GlobalOptions& globals, std::optional<Position> to)
      : lines_(globals.json, request.values), tables_(request.tables), to_(std::move(to)) {}

  /// False behind the last position wanted.
  bool print(const ChangeBatch& batch) {
    std::size_t next = 0;
    for (std::size_t t = 0; t < batch.transactions.size(); ++t) {
      const Transaction& transaction = batch.transactions[t];
      if (to_ && transaction.position(0) > Position{to_->epoch, to_->commit_end, 0}) return false;
      for (; next < batch.changes.size() && batch.changes[next].transaction == t; ++next) {
        if (!wanted(batch.changes[next])) continue;
        std::cout << lines_.change(transaction, batch.changes[next]) << "\n";
        printed_ = true;
      }
      if (!transaction.last_part) continue;
      if (printed_ || tables_.empty()) std::cout << lines_.commit(transaction) << "\n";
      printed_ = false;
    }
    return static_cast<bool>(std::cout);
  }

 private:
  bool wanted(const Change& change) const {
    return tables_.empty() ||
           (change.relation != nullptr && std::ranges::find(tables_, change.relation->display_name()) != tables_.end());
  }

  const JournalLines lines_;
  const std::vector<std::string>& tables_;
  const std::optional<Position> to_;
  bool printed_ = false;
};

ExitCode cat(const Request& request, const GlobalOptions& globals) {
  journal::Inspector inspector(find_journal(request.where, globals));
  const std::uint32_t epoch = inspector.end().position.epoch;
  std::optional<Position> from;
  std::optional<Position> to;
  if (!request.from.empty()) from = parse_position(request.from, epoch);
  if (!request.to.empty()) to = parse_position(request.to, epoch);
  Printer printer(request, globals, to);
  const auto reader = inspector.reader(from);
  const journal::BatchLimits limits{.max_changes = 10'000, .max_bytes = 8ULL << 20};
  for (;;) {
    const auto batch = reader->next(limits, {}, std::chrono::milliseconds(request.follow ? 100 : 0));
    if (batch && !printer.print(*batch)) return ExitCode::kDone;
    if (batch) continue;
    if (!request.follow) return ExitCode::kDone;
    std::cout.flush();
    inspector.refresh();
  }
}

ExitCode verify(const Request& request, const GlobalOptions& globals) {
  journal::Inspector inspector(find_journal(request.where, globals));
  const auto result = inspector.verify();
  Json damages = Json::array();
  for (const auto& damage : result.damages) {
    if (!globals.json) std::cout << fmt::format("{} at offset {}: {}\n", damage.file, damage.offset, damage.what);
    damages.push_back({{"file", damage.file}, {"offset", damage.offset}, {"what", damage.what}});
  }
  if (globals.json) {
    std::cout << Json{{"segments", result.segments}, {"adopted_files", result.adopted_files}, {"frames", result.frames},
                      {"bytes", result.bytes},       {"end", inspector.end().position.str()}, {"damages", damages}}
                     .dump()
              << "\n";
  } else if (result.damages.empty()) {
    std::cout << fmt::format("{} segments and {} adopted files, {} frames, {}: every checksum matches, up to {}\n",
                             result.segments, result.adopted_files, human_count(result.frames),
                             human_bytes(result.bytes), inspector.end().position.str());
  }
  if (result.damages.empty()) return ExitCode::kDone;
  const auto& first = result.damages.front();
  throw CorruptionError("TR401", fmt::format("the journal is damaged: {} at offset {}", first.file, first.offset),
                        "restore the journal's directory from a copy, or move it away and let the tables be copied "
                        "again");
}

ExitCode stat(const Request& request, const GlobalOptions& globals) {
  const journal::Inspector inspector(find_journal(request.where, globals));
  const auto segments = inspector.segments();
  std::uint64_t bytes = 0;
  std::uint64_t used = 0;
  std::uint64_t adopted = 0;
  for (const auto& segment : segments) {
    bytes += segment.file_bytes + segment.adopted_bytes;
    used += segment.used_bytes + segment.adopted_bytes;
    adopted += segment.adopted_files;
  }
  const Cursor start = inspector.start();
  const Cursor end = inspector.end();
  if (globals.json) {
    std::cout << Json{{"segments", segments.size()},
                      {"adopted_files", adopted},
                      {"file_bytes", bytes},
                      {"used_bytes", used},
                      {"start", start.position.str()},
                      {"end", end.position.str()},
                      {"seq", end.seq.value()},
                      {"oldest_segment_created", segments.front().created.str()},
                      {"last_commit_time", end.commit_time.str()}}
                     .dump()
              << "\n";
    return ExitCode::kDone;
  }
  std::cout << fmt::format("from       {}\nto         {} (seq {}, committed {})\nsegments   {}, since {}\n",
                           start.position.str(), end.position.str(), end.seq.value(), end.commit_time.str(),
                           segments.size(), segments.front().created.str())
            << fmt::format("adopted    {} large transactions\ndisk       {}, of which {} in use\n", adopted,
                           human_bytes(bytes), human_bytes(used));
  return ExitCode::kDone;
}

}  // namespace

void add_journal_command(Frame& frame) {
  auto request = std::make_shared<Request>();
  CLI::App* group = frame.group("journal", "Look into the durable log");
  const auto add = [&](const char* name, const char* what, const char* example, auto body) {
    CLI::App* command = frame.command_below(
        group, name, what, example, [request, body](const GlobalOptions& globals) { return body(*request, globals); });
    command->add_option("where", request->where, "A pipeline's name, its state directory, or the journal's");
    return command;
  };
  add("ls", "List the segments and what they hold", "tailrace journal ls shop", list);
  CLI::App* show =
      add("cat", "Print the changes, a line each", "tailrace journal cat shop --from 0/16B3748 --values", cat);
  show->add_option("--from", request->from, "Begin behind this position (LSN or EPOCH:LSN)")->type_name("POSITION");
  show->add_option("--to", request->to, "End with the commit at this position")->type_name("POSITION");
  show->add_option("--table", request->tables, "Only this table (SCHEMA.TABLE); may be repeated");
  show->add_flag("--values", request->values, "Show the rows' values");
  show->add_flag("-f,--follow", request->follow, "Wait for more");
  add("verify", "Compare every checksum", "tailrace journal verify shop", verify);
  add("stat", "Sum up what the log holds", "tailrace journal stat shop --json", stat);
}

}  // namespace tailrace::cli
