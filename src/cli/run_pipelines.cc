#include "cli/run_pipelines.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "base/lack_of_memory.h"
#include "base/time.h"
#include "cli/progress.h"
#include "cli/stop_signals.h"
#include "cli/terminal.h"
#include "pipeline/continuous_verification.h"
#include "pipeline/control_server.h"
#include "pipeline/pipeline.h"
#include "server/http_server.h"

namespace tailrace::cli {
namespace {

using pipeline::Pipeline;
using pipeline::PipelineSpec;
using pipeline::PipelineStatus;

/// Ends the main thread's pause when something happened. Rung from any thread.
class Bell {
 public:
  void ring() {
    const std::lock_guard lock(mutex_);
    rung_ = true;
    changed_.notify_all();
  }
  void wait_until(SteadyClock::time_point deadline) {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, deadline, [this] { return rung_; });
    rung_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool rung_ = false;
};

/// One pipeline, the thread that runs it, and its control socket.
class Running final : public server::Watched {
 public:
  /// `at_end` rings once it has ended.
  Running(PipelineSpec spec, const pipeline::RunOptions& options, StopSignals& signals, Bell& at_end,
          server::WatchedPipelines& watched)
      : at_end_(at_end),
        watched_(watched),
        pipeline_(std::move(spec), options),
        first_run_(!pipeline_.prepared()),
        stop_([this] { own_stop_.request_stop(); }),
        on_signal_(signals.token(), stop_),
        control_(std::make_unique<pipeline::ControlServer>(pipeline_, stop_)),
        verification_(pipeline_) {}

  ~Running() override {
    watched_.remove(*this);
    own_stop_.request_stop();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  void start() {
    beat();
    watched_.add(*this);
    thread_ = std::jthread([this] {
      try {
        pipeline_.run(own_stop_.get_token(), [this] { beat(); });
      } catch (const Error&) {
        failure_ = std::current_exception();
      } catch (const std::exception& error) {
        failure_ = is_lack_of_memory(error) ? std::make_exception_ptr(lack_of_memory())
                                            : std::make_exception_ptr(DefectError(error.what()));
      }
      ended_ = true;
      at_end_.ring();
    });
  }

  bool ended() const { return ended_; }
  PipelineStatus status() const override { return pipeline_.status(); }
  pipeline::PipelineMetrics metrics() const override { return pipeline_.metrics(); }
  const std::string& name() const override { return spec().name; }
  Life life() const override {
    if (ended_) return Life::kEnded;
    return stop_requested() ? Life::kEnding : Life::kRuns;
  }
  std::chrono::milliseconds silence() const override {
    const SteadyClock::duration since = SteadyClock::now().time_since_epoch() - last_beat_.load();
    return std::chrono::duration_cast<std::chrono::milliseconds>(since);
  }
  /// After ended().
  std::exception_ptr failure() const { return failure_; }
  const PipelineSpec& spec() const { return pipeline_.spec(); }
  /// What was made at the source, once it is made; empty when nothing was, or it was told already.
  std::string take_creation() {
    if (!first_run_ || !pipeline_.prepared()) return {};
    first_run_ = false;
    const auto& source = spec().source;
    const sources::SourceStatus made = status().source;
    if (!made.made_slot) return {};
    if (!made.made_publication)
      return fmt::format("created   slot {}      undo: tailrace drop {} --slot", source.slot, spec().name);
    return fmt::format("created   publication {}, slot {}      undo: tailrace drop {} --slot --publication",
                       source.publication, source.slot, spec().name);
  }
  void stop() { own_stop_.request_stop(); }
  bool stop_requested() const { return own_stop_.stop_requested(); }

 private:
  void beat() { last_beat_ = SteadyClock::now().time_since_epoch(); }

  Bell& at_end_;
  server::WatchedPipelines& watched_;
  std::atomic<SteadyClock::duration> last_beat_{};
  Pipeline pipeline_;
  bool first_run_;
  std::stop_source own_stop_;
  std::function<void()> stop_;
  std::stop_callback<std::function<void()>> on_signal_;
  std::unique_ptr<pipeline::ControlServer> control_;
  pipeline::ContinuousVerification verification_;
  std::exception_ptr failure_;
  std::atomic<bool> ended_{false};
  std::jthread thread_;
};

void tell_creations(std::list<Running>& running, Progress& progress) {
  for (Running& one : running)
    if (const std::string created = one.take_creation(); !created.empty()) progress.say(created);
}

void show(std::list<Running>& running, Progress& progress) {
  tell_creations(running, progress);
  std::vector<PipelineStatus> statuses;
  for (const Running& one : running) {
    if (!one.ended()) statuses.push_back(one.status());
  }
  progress.show(statuses);
}

void say_goodbye(const Running& one, bool until_caught_up, Progress& progress) {
  const PipelineStatus status = one.status();
  const char* how = until_caught_up && !one.stop_requested() ? "caught up" : "stopped";
  progress.say(fmt::format("{}: {} at {}: journal synced, sinks flushed.", status.name, how, status.log_durable.str()));
}

/// Prints how each pipeline ended; all failures but the first, which the caller throws.
std::exception_ptr report_ends(std::list<Running>& running, bool until_caught_up, Progress& progress) {
  std::exception_ptr first;
  for (Running& one : running) {
    if (!one.failure()) {
      say_goodbye(one, until_caught_up, progress);
    } else if (!first) {
      first = one.failure();
    } else {
      try {
        std::rethrow_exception(one.failure());
      } catch (const Error& error) {
        print_error(error, false);
      }
    }
  }
  return first;
}

/// What the process shows of its pipelines over HTTP, if it is asked to; outlives them.
struct Listening {
  explicit Listening(const std::string& address) {
    if (!address.empty()) server.emplace(server::parse_listen_address(address), watched);
  }
  /// To be told once.
  std::string take_url() { return server && !std::exchange(told, true) ? server->url() : std::string(); }

  server::WatchedPipelines watched;
  std::optional<server::HttpServer> server;
  bool told = false;
};

/// The new configuration, once it is asked for and good.
std::optional<std::vector<PipelineSpec>> take_reload(StopSignals& signals, const Reload& reload, Progress& progress,
                                                     server::WatchedPipelines& watched) {
  if (!signals.take_reload()) return std::nullopt;
  try {
    std::vector<PipelineSpec> specs = reload();
    watched.count_reload(true);
    progress.say("SIGHUP: the configuration was read again; stopping to go on with it.");
    return specs;
  } catch (const Error& error) {
    watched.count_reload(false);
    print_error(error, false);
    progress.say("SIGHUP: the configuration is left as it was.");
    return std::nullopt;
  }
}

/// Runs the pipelines to their end. Gives what is to be run instead of them, if that was asked for.
std::optional<std::vector<PipelineSpec>> run_once(std::vector<PipelineSpec> specs, const pipeline::RunOptions& options,
                                                  StopSignals& signals, const GlobalOptions& globals,
                                                  const Reload& reload, Listening& listening) {
  Bell bell;
  const std::stop_callback at_signal(signals.token(), [&bell] { bell.ring(); });
  std::list<Running> running;
  for (PipelineSpec& spec : specs) running.emplace_back(std::move(spec), options, signals, bell, listening.watched);
  for (Running& one : running) one.start();
  listening.watched.set_phase(server::WatchedPipelines::Phase::kRunning);

  Progress progress(globals);
  if (const std::string url = listening.take_url(); !url.empty()) progress.say("watch     " + url + "/metrics");
  bool told_stopping = false;
  std::optional<std::vector<PipelineSpec>> next;
  auto next_show = SteadyClock::now();
  while (std::any_of(running.begin(), running.end(), [](const Running& one) { return !one.ended(); })) {
    if (SteadyClock::now() >= next_show) {
      show(running, progress);
      next_show = SteadyClock::now() + progress.pause();
    }
    if (signals.token().stop_requested() && !std::exchange(told_stopping, true)) {
      listening.watched.set_phase(server::WatchedPipelines::Phase::kEnding);
      progress.say("stopping: draining what is in flight. Again to leave at once.");
    }
    if (!next && (next = take_reload(signals, reload, progress, listening.watched))) {
      listening.watched.set_phase(server::WatchedPipelines::Phase::kStarting);
      for (Running& one : running) one.stop();
    }
    bell.wait_until(next_show);
  }
  progress.finish();
  tell_creations(running, progress);
  const std::exception_ptr failure = report_ends(running, options.until_caught_up, progress);
  if (globals.json) {
    for (const Running& one : running) fmt::print("{}\n", pipeline::to_json(one.status()).dump());
  }
  if (failure) std::rethrow_exception(failure);
  if (signals.token().stop_requested()) return std::nullopt;
  return next;
}

}  // namespace

void add_run_options(CLI::App& command, RunRequest& request) {
  command.add_flag("--accept-gap", request.accept_gap,
                   "Where the slot is lost: go on with a new one, and copy what differs");
  command.add_flag("--until-caught-up", request.until_caught_up,
                   "End with 0 once all that was committed at the start is durable in every sink");
  command.add_option("--listen", request.listen, "Answer /metrics, /livez and the like here, as in 127.0.0.1:8083")
      ->type_name("ADDR");
}

void place_state(std::vector<PipelineSpec>& specs, const GlobalOptions& globals) {
  if (globals.state.empty()) return;
  if (specs.size() > 1) {
    throw BadConfigError("TR209", "--state names one directory, but there are several pipelines",
                         "give each its place in the file: log: {journal: {path: …}}");
  }
  specs.front().state = globals.state;
}

ExitCode run_pipelines(std::vector<PipelineSpec> specs, const RunRequest& request, const GlobalOptions& globals,
                       const Reload& reload) {
  // On a terminal SIGHUP says that it was closed.
  const bool reloads = reload && !is_terminal(STDIN_FILENO);
  StopSignals signals(reloads ? Hangup::kReload : Hangup::kStop);
  pipeline::RunOptions options;
  options.until_caught_up = request.until_caught_up;
  options.accept_gap = request.accept_gap;
  Listening listening(request.listen);
  std::optional<std::vector<PipelineSpec>> next = std::move(specs);
  while (next) {
    next = run_once(std::move(*next), options, signals, globals, reload, listening);
    // It was said of the gap that was there.
    options.accept_gap = false;
  }
  return ExitCode::kDone;
}

}  // namespace tailrace::cli
