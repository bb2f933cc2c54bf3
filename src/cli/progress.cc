#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/terminal.h"

namespace tailrace::cli {
namespace {

using pipeline::CopyStatus;
using pipeline::PipelineStatus;
using pipeline::SinkStatus;
using std::chrono::milliseconds;

constexpr milliseconds kDrawEvery{200};
constexpr milliseconds kPlainEvery{10'000};
constexpr int kBarWidth = 20;
constexpr std::size_t kMostTables = 12;

double worst_lag(const PipelineStatus& status) {
  double lag = 0;
  for (const SinkStatus& sink : status.sinks) lag = std::max(lag, sink.lag_seconds);
  return lag;
}

double rate_of(const CopyStatus& table, std::uint64_t rows_before, double seconds) {
  return seconds > 0 ? static_cast<double>(table.rows - std::min(rows_before, table.rows)) / seconds : 0;
}

std::string summary_of(const PipelineStatus& status) {
  return fmt::format("snapshot {:.0f} % ({} of {} tables, {} rows)", status.snapshot.percent,
                     status.snapshot.tables_done, status.snapshot.tables_total, human_count(status.snapshot.rows));
}

}  // namespace

std::string copy_line(const CopyStatus& table, double rate) {
  std::string line = fmt::format("{:<24} {} {:>3.0f} %  {}", table.table, bar(table.fraction, kBarWidth),
                                 table.fraction * 100, human_count(table.rows));
  if (table.estimated_rows > static_cast<double>(table.rows)) {
    line += "/" + human_count(static_cast<std::uint64_t>(table.estimated_rows));
  }
  if (!table.done && rate > 0) line += fmt::format("  {}/s", human_count(static_cast<std::uint64_t>(rate)));
  if (!table.done && table.seconds_left) line += fmt::format("  {} left", human_seconds(*table.seconds_left));
  if (table.waits_for_server) line += "  waits for the server";
  return line;
}

std::string bar(double share, int width) {
  const int full = static_cast<int>(std::clamp(share, 0.0, 1.0) * width);
  std::string text;
  for (int i = 0; i < width; ++i) text += i < full ? "█" : "░";
  return text;
}

std::string stream_line(const PipelineStatus& status, double rate) {
  std::string line = fmt::format("{} {}", status.name, status.state);
  if (status.state == "snapshotting" && status.snapshot.tables_total > 0)
    line += fmt::format("  {}", summary_of(status));
  line += fmt::format("  {} changes  {}/s", human_count(status.source.changes),
                      human_count(static_cast<std::uint64_t>(rate)));
  if (!status.sinks.empty()) line += fmt::format("  lag {}", human_seconds(worst_lag(status)));
  line += fmt::format("  slot retains {}", human_bytes(status.source.lag_bytes));
  return line;
}

Progress::Progress(const GlobalOptions& globals)
    : quiet_(globals.quiet), terminal_(is_terminal(STDERR_FILENO)), last_draw_(SteadyClock::now()) {}

void Progress::show(const std::vector<PipelineStatus>& statuses) {
  if (quiet_) return;
  for (const PipelineStatus& status : statuses) {
    Seen& seen = seen_[status.name];
    note_sinks(status, seen);
    if (!terminal_) print_plain(status, seen);
  }
  if (terminal_ && SteadyClock::now() - last_draw_ >= kDrawEvery) draw(statuses);
}

void Progress::say(const std::string& line) {
  if (quiet_) return;
  erase();
  fmt::print(stderr, "{}\n", line);
}

void Progress::finish() { erase(); }

void Progress::note_sinks(const PipelineStatus& status, Seen& seen) {
  for (const SinkStatus& sink : status.sinks) {
    std::string& before = seen.sink_states[sink.name];
    if (before == sink.state) continue;
    before = sink.state;
    if (sink.state == "retrying" || sink.state == "failed") {
      say(fmt::format("{:<9} {}: {}", sink.state, sink.name, sink.last_error));
    }
  }
}

void Progress::print_plain(const PipelineStatus& status, Seen& seen) {
  const auto now = SteadyClock::now();
  if (seen.state == status.state && now - seen.printed < kPlainEvery) return;
  sample(status, seen);
  seen.state = status.state;
  seen.printed = now;
  fmt::print(stderr, "{}\n", stream_line(status, seen.rate));
}

void Progress::sample(const PipelineStatus& status, Seen& seen) const {
  const auto now = SteadyClock::now();
  const double seconds = std::chrono::duration<double>(now - seen.sampled).count();
  if (seen.sampled != SteadyClock::time_point{} && seconds > 0) {
    const std::uint64_t changes = status.source.changes - std::min(seen.changes, status.source.changes);
    seen.rate = static_cast<double>(changes) / seconds;
  }
  seen.changes = status.source.changes;
  seen.sampled = now;
}

std::vector<std::string> Progress::block_of(const PipelineStatus& status, Seen& seen) const {
  std::vector<std::string> lines;
  const double seconds = std::chrono::duration<double>(SteadyClock::now() - seen.sampled).count();
  if (status.state == "snapshotting") {
    std::vector<CopyStatus> tables = status.snapshot.tables;
    std::stable_sort(tables.begin(), tables.end(), [](const CopyStatus& a, const CopyStatus& b) {
      const auto rank = [](const CopyStatus& t) { return t.done ? 2 : t.rows > 0 ? 0 : 1; };
      return rank(a) < rank(b);
    });
    for (const CopyStatus& table : tables) {
      if (lines.size() == kMostTables) break;
      lines.push_back("snapshot  " + copy_line(table, rate_of(table, seen.rows[table.sink + table.table], seconds)));
      seen.rows[table.sink + table.table] = table.rows;
    }
  }
  sample(status, seen);
  lines.push_back("stream    " + stream_line(status, seen.rate));
  return lines;
}

void Progress::draw(const std::vector<PipelineStatus>& statuses) {
  last_draw_ = SteadyClock::now();
  std::vector<std::string> lines;
  for (const PipelineStatus& status : statuses) {
    for (std::string& line : block_of(status, seen_[status.name])) lines.push_back(std::move(line));
  }
  erase();
  const auto width = static_cast<std::size_t>(terminal_width(STDERR_FILENO));
  for (std::string& line : lines) {
    // A bar's characters take three bytes and one column.
    const auto columns = static_cast<std::size_t>(
        std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
    if (columns >= width) line = line.substr(0, width - 1 + (line.size() - columns));
    fmt::print(stderr, "{}\n", line);
  }
  std::fflush(stderr);
  drawn_lines_ = lines.size();
}

void Progress::erase() {
  if (drawn_lines_ == 0) return;
  fmt::print(stderr, "\033[{}A\033[J", drawn_lines_);
  drawn_lines_ = 0;
}

}  // namespace tailrace::cli
