#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/demo_proof.h"
#include "cli/demo_shop.h"
#include "cli/private_postgres.h"
#include "cli/registry.h"
#include "cli/stop_signals.h"
#include "cli/terminal.h"
#include "pipeline/control_server.h"
#include "pipeline/pipeline.h"

namespace tailrace::cli {
namespace {

namespace fs = std::filesystem;
using pipeline::Pipeline;

struct DemoOptions {
  std::string source;
  /// 0: until stopped.
  unsigned seconds = 0;
};

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

void say_step(const std::string& what, SteadyClock::time_point since) {
  std::cout << fmt::format("{} {:<60} {}\n", painted("✓", Colour::kGreen, 1), what, human_seconds(seconds_since(since)))
            << std::flush;
}

/// A directory for the demo's server, gone with the object.
class ServerPlace {
 public:
  ServerPlace() {
    std::string pattern = (fs::temp_directory_path() / "tailrace-demo.XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr)
      throw RefusedError("TR180", "no temporary directory can be made",
                         "set TMPDIR to a directory that can be written");
    path_ = pattern;
    // The server runs under another account when we are root, and must reach its directory.
    fs::permissions(path_, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
  }
  ~ServerPlace() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ServerPlace(const ServerPlace&) = delete;
  ServerPlace& operator=(const ServerPlace&) = delete;
  fs::path server() const { return path_ / "server"; }

 private:
  fs::path path_;
};

/// The demo's pipeline on a thread of its own, reachable by the other commands; its files go with the object.
class DemoPipeline {
 public:
  DemoPipeline(pipeline::PipelineSpec spec, StopSignals& signals)
      : state_(spec.state),
        source_(spec.source),
        mirror_(spec.sinks.front()),
        pipeline_(std::make_unique<Pipeline>(std::move(spec), pipeline::RunOptions())),
        stop_([&signals] { signals.request_stop(); }),
        control_(std::make_unique<pipeline::ControlServer>(*pipeline_, stop_)) {
    thread_ = std::jthread([this](std::stop_token stop) { run(std::move(stop)); });
  }
  ~DemoPipeline() {
    end();
    control_.reset();
    pipeline_.reset();
    std::error_code ignored;
    fs::remove_all(state_, ignored);
    fs::remove(state_.parent_path(), ignored);  // only when the demo was all that was in it
  }
  DemoPipeline(const DemoPipeline&) = delete;
  DemoPipeline& operator=(const DemoPipeline&) = delete;

  /// Stops and drains; throws what ended the pipeline early.
  void end() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
  }
  void throw_failure() const {
    if (ended_ && failure_) std::rethrow_exception(failure_);
  }
  pipeline::PipelineStatus status() const { return pipeline_->status(); }
  Pipeline& pipeline() { return *pipeline_; }
  void drop_at_source() const {
    // Whatever is to be said of the publication, the slot would keep WAL.
    source_.drop(pipeline_->catalog(), true, false);
    source_.drop(pipeline_->catalog(), false, true);
  }

  /// The only row of an answer of the mirror, as text.
  std::vector<std::string> ask(const std::string& sql) const {
    std::string text;
    pipeline::QueryRequest request;
    request.sql = sql;
    request.format = pipeline::QueryFormat::kJsonLines;
    mirror_.query(request, [&text](std::string_view piece) { text += piece; }, {});
    const auto answer = nlohmann::ordered_json::parse(text);
    std::vector<std::string> row;
    for (const auto& item : answer.items()) row.push_back(item.value());
    return row;
  }

 private:
  void run(std::stop_token stop) {
    try {
      pipeline_->run(std::move(stop), [] {});
    } catch (const Error&) {
      failure_ = std::current_exception();
    } catch (const std::exception& error) {
      failure_ = std::make_exception_ptr(DefectError(error.what()));
    }
    ended_ = true;
  }

  const fs::path state_;
  const pipeline::SourceSetup source_;
  const pipeline::SinkSetup mirror_;
  std::unique_ptr<Pipeline> pipeline_;
  std::function<void()> stop_;
  std::unique_ptr<pipeline::ControlServer> control_;
  std::exception_ptr failure_;  // written before ended_
  std::atomic<bool> ended_{false};
  std::jthread thread_;
};

pipeline::PipelineSpec spec_of(const std::string& conninfo, const GlobalOptions& globals) {
  pipeline::PipelineSpec spec;
  spec.name = "demo";
  spec.state = globals.state.empty() ? pipeline::default_state_root() / spec.name : fs::path(globals.state);
  spec.source =
      source_for_url({.url = conninfo, .tables = {}, .slot = "tailrace_demo", .publication = "tailrace_demo"});
  spec.sinks.push_back(sink_for_target("mirror", (spec.state / "demo.duckdb").string(), true));
  return spec;
}

/// Waits for the first copy, then shows the lag until the time is up or somebody stops the demo.
void watch(DemoPipeline& demo, const DemoOptions& options, StopSignals& signals) {
  const auto started = SteadyClock::now();
  while (!signals.token().stop_requested() && demo.status().state != "streaming") {
    demo.throw_failure();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const auto copied = demo.status().snapshot;
  say_step(fmt::format("snapshot {} tables, {} rows → demo.duckdb, with history", copied.tables_total, copied.rows),
           started);
  std::cout << "  next: tailrace query demo \"from orders select status, count(*) group by 1\"\n" << std::flush;
  const auto live = SteadyClock::now();
  auto shown = live - std::chrono::hours(1);
  while (!signals.token().stop_requested() && (options.seconds == 0 || seconds_since(live) < options.seconds)) {
    demo.throw_failure();
    const auto every = is_terminal(1) ? std::chrono::seconds(1) : std::chrono::seconds(10);
    if (SteadyClock::now() - shown >= every) {
      shown = SteadyClock::now();
      const auto status = demo.status();
      const double lag = status.sinks.empty() ? 0 : status.sinks.front().lag_seconds;
      std::cout << fmt::format("{}{} live  lag {}  {} transactions   (Ctrl-C: stop and remove everything){}",
                               is_terminal(1) ? "\r\033[K" : "", painted("●", Colour::kGreen, 1), human_seconds(lag),
                               human_count(status.source.transactions), is_terminal(1) ? "" : "\n")
                << std::flush;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  if (is_terminal(1)) std::cout << "\n";
}

std::string table_list(const std::vector<TableProof>& proofs) {
  std::string names;
  for (const TableProof& proof : proofs) names += (names.empty() ? "" : ", ") + proof.table;
  return names;
}

ExitCode report(const std::vector<TableProof>& proofs, std::uint64_t transactions, const GlobalOptions& globals) {
  std::vector<TableProof> wrong;
  std::copy_if(proofs.begin(), proofs.end(), std::back_inserter(wrong), [](const auto& proof) { return !proof.equal; });
  std::uint64_t rows = 0;
  for (const TableProof& proof : proofs) rows += proof.rows;
  if (globals.json)
    std::cout << nlohmann::json{{"ok", wrong.empty()},
                                {"transactions", transactions},
                                {"tables", proofs.size()},
                                {"rows", rows}}
                     .dump()
              << "\n";
  if (!wrong.empty()) {
    std::cout << "demo: FAILED, these tables differ from their source: " << table_list(wrong) << "\n";
    return ExitCode::kAnswerIsNo;
  }
  std::cout << fmt::format("demo: OK, {} transactions, {} rows in {} tables are equal at source and target\n",
                           transactions, rows, proofs.size());
  return ExitCode::kDone;
}

/// With a private server: a writer, and in the end the proof, for which the writer rests.
ExitCode demo_with_shop(const DemoOptions& options, const GlobalOptions& globals) {
  StopSignals signals;
  const auto started = SteadyClock::now();
  const ServerPlace place;
  const PrivatePostgres server(place.server());
  make_shop(server.conninfo());
  ShopWriter writer(server.conninfo());
  say_step(fmt::format("private PostgreSQL {}, schema, 80 rows, writer 50 txn/s", server.version()), started);

  DemoPipeline demo(spec_of(server.conninfo(), globals), signals);
  watch(demo, options, signals);
  writer.stop();
  if (!writer.failure().empty()) throw DefectError("the demo's writer failed: " + writer.failure());
  demo.pipeline().wait({std::nullopt, "", std::chrono::seconds(60)}, {});
  const auto proofs =
      prove_mirror(server.conninfo(), "public", [&demo](const std::string& sql) { return demo.ask(sql); });
  demo.end();
  demo.throw_failure();
  return report(proofs, writer.transactions(), globals);
}

/// With a server of the user's: mirror it, and take everything away again.
ExitCode demo_with_source(const DemoOptions& options, const GlobalOptions& globals) {
  StopSignals signals;
  DemoPipeline demo(spec_of(options.source, globals), signals);
  watch(demo, options, signals);
  demo.pipeline().wait({std::nullopt, "", std::chrono::seconds(60)}, {});
  const auto transactions = demo.status().source.transactions;
  demo.end();
  demo.drop_at_source();
  demo.throw_failure();
  std::cout << fmt::format("demo: OK, {} transactions followed; slot, publication and files are removed\n",
                           transactions);
  return ExitCode::kDone;
}

}  // namespace

void add_demo_command(Frame& frame) {
  auto options = std::make_shared<DemoOptions>();
  CLI::App* command = frame.command(
      "demo", "A private PostgreSQL with a writer, mirrored live; leaves nothing behind", "tailrace demo --seconds 20",
      [options](const GlobalOptions& globals) {
        return options->source.empty() ? demo_with_shop(*options, globals) : demo_with_source(*options, globals);
      },
      OnSignal::kTaken);
  command->add_option("--source", options->source, "Mirror this database instead of a private one")->type_name("URI");
  command->add_option("--seconds", options->seconds, "Stop by itself after so long, compare and report (0: on Ctrl-C)");
}

}  // namespace tailrace::cli
