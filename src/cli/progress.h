#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "cli/frame.h"
#include "pipeline/status.h"

namespace tailrace::cli {

/// Shows how running pipelines fare, on stderr: a block that redraws itself on a terminal, otherwise one plain line per
/// pipeline every ten seconds and at every change of state. One thread.
class Progress {
 public:
  explicit Progress(const GlobalOptions& globals);

  /// How long to wait between two calls of show(): a line that nobody watches costs nearly nothing.
  std::chrono::milliseconds pause() const { return std::chrono::milliseconds(terminal_ ? 100 : 500); }
  void show(const std::vector<pipeline::PipelineStatus>& statuses);
  /// One line that stays, above the block.
  void say(const std::string& line);
  /// Ends the block.
  void finish();

 private:
  struct Seen {
    std::string state;
    std::map<std::string, std::string> sink_states;
    std::uint64_t changes = 0;
    double rate = 0;
    std::map<std::string, std::uint64_t> rows;
    SteadyClock::time_point printed;
    SteadyClock::time_point sampled;
  };

  void draw(const std::vector<pipeline::PipelineStatus>& statuses);
  void erase();
  void print_plain(const pipeline::PipelineStatus& status, Seen& seen);
  void note_sinks(const pipeline::PipelineStatus& status, Seen& seen);
  std::vector<std::string> block_of(const pipeline::PipelineStatus& status, Seen& seen) const;
  void sample(const pipeline::PipelineStatus& status, Seen& seen) const;

  const bool quiet_;
  const bool terminal_;
  std::size_t drawn_lines_ = 0;
  SteadyClock::time_point last_draw_;
  std::map<std::string, Seen> seen_;
};

/// "████████░░░░" for a share of the whole.
std::string bar(double share, int width);
/// One line for a table that is copied, at `rate` rows a second now.
std::string copy_line(const pipeline::CopyStatus& table, double rate);
/// One line for a pipeline: state, rate, lag.
std::string stream_line(const pipeline::PipelineStatus& status, double rate);

}  // namespace tailrace::cli
