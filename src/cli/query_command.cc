#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "cli/commands.h"
#include "cli/registry.h"
#include "cli/terminal.h"
#include "pipeline/catalog.h"
#include "pipeline/control_client.h"
#include "pipeline/control_protocol.h"
#include "pipeline/state_directory.h"

namespace tailrace::cli {
namespace {

struct QueryArguments {
  std::vector<std::string> words;
  std::string as_of;
  std::string format;
  std::string output;
  std::string sink;
};

/// stdout, or the file named by --output, which appears whole or not at all.
class Answer {
 public:
  explicit Answer(const std::string& path) : path_(path) {
    if (path_.empty()) return;
    file_ = std::fopen(partial().c_str(), "wb");
    if (file_ == nullptr) {
      throw BadConfigError("TR214", fmt::format("cannot write {}", path_), "name a file in a directory that exists");
    }
  }
  ~Answer() {
    if (path_.empty() || file_ == nullptr) return;
    std::fclose(file_);
    std::remove(partial().c_str());
  }
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  void write(std::string_view piece) {
    if (std::fwrite(piece.data(), 1, piece.size(), file_) != piece.size()) {
      throw RetryError("TR214", "the answer cannot be written: disk full, or the reader is gone", "ask again");
    }
  }
  void finish() {
    if (path_.empty()) {
      std::fflush(stdout);
      return;
    }
    const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
    if (!closed || std::rename(partial().c_str(), path_.c_str()) != 0) {
      throw RetryError("TR214", fmt::format("cannot write {}", path_), "check disk space and permissions");
    }
  }

 private:
  std::string partial() const { return path_ + ".partial"; }

  const std::string path_;
  std::FILE* file_ = stdout;
};

pipeline::QueryRequest request_of(const QueryArguments& arguments, const GlobalOptions& globals) {
  pipeline::QueryRequest request;
  request.sql = arguments.words.back();
  request.as_of = arguments.as_of;
  request.format = pipeline::parse_format(arguments.format.empty() && globals.json ? "json" : arguments.format);
  if (request.format == pipeline::QueryFormat::kParquet && arguments.output.empty() && is_terminal(STDOUT_FILENO)) {
    throw BadConfigError("TR214", "Parquet is nothing for a terminal", "add --output FILE.parquet");
  }
  return request;
}

/// "0/5A40118 (38 ms ago)"; how far a running pipeline's target was.
std::string moment_of(const nlohmann::json& answer) {
  const std::string source = answer.value("source", "streaming");
  return fmt::format("{} ({} ms ago{})", answer.value("as_of", "?"), answer.value("age_ms", std::int64_t{0}),
                     source == "streaming" ? "" : "; the source is " + source);
}

/// Asks the process that holds the target, or the target itself when nobody does. Gives as of when the answer is.
std::string query_pipeline(const QueryArguments& arguments, const pipeline::QueryRequest& request,
                           const pipeline::StatePaths& paths, Answer& answer) {
  const auto write = [&answer](std::string_view piece) { answer.write(piece); };
  if (auto client = pipeline::ControlClient::connect(paths)) {
    return moment_of(client->ask({{"do", "query"},
                                  {"sql", request.sql},
                                  {"as_of", request.as_of},
                                  {"format", pipeline::name_of(request.format)},
                                  {"sink", arguments.sink}},
                                 write));
  }
  pipeline::Catalog catalog(paths.catalog(), pipeline::Catalog::Access::kRead);
  pipeline::PipelineSpec spec;
  spec.name = catalog.text("name");
  for (const pipeline::SinkRecord& record : catalog.sinks()) {
    spec.sinks.push_back(recorded_sink(record.kind, record.name, record.display));
  }
  const pipeline::SinkSetup& sink = pipeline::queryable_sink(spec, arguments.sink);
  sink.query(request, write, {});
  for (const pipeline::SinkRecord& record : catalog.sinks())
    if (record.name == sink.name && record.cursor)
      return record.cursor->position.commit_end.str() + "; the pipeline is stopped";
  return {};
}

ExitCode query(const QueryArguments& arguments, const GlobalOptions& globals) {
  if (arguments.words.size() > 2) {
    throw BadConfigError("TR200", "too many words", "put the SQL in quotes: tailrace query shop \"from orders\"");
  }
  const pipeline::QueryRequest request = request_of(arguments, globals);
  const std::string subject = arguments.words.size() == 2 ? arguments.words.front() : "";
  Answer answer(arguments.output);
  const auto began = SteadyClock::now();
  std::string moment;
  if (subject.ends_with(".duckdb")) {
    const auto write = [&answer](std::string_view piece) { answer.write(piece); };
    sink_for_target(subject, subject, false).query(request, write, {});
  } else {
    moment = query_pipeline(arguments, request, pipeline::find_state(globals.state, subject), answer);
  }
  answer.finish();
  if (!moment.empty() && request.as_of.empty() && request.format == pipeline::QueryFormat::kTable && !globals.quiet) {
    const std::chrono::duration<double, std::milli> took = SteadyClock::now() - began;
    fmt::print(stderr, "{:.0f} ms, as of {}\n", took.count(), moment);
  }
  return ExitCode::kDone;
}

}  // namespace

void add_query_command(Frame& frame) {
  auto arguments = std::make_shared<QueryArguments>();
  CLI::App* command = frame.command("query", "SQL on the target, also while the pipeline runs",
                                    "tailrace query shop \"from orders select status, count(*) group by 1\"",
                                    [arguments](const GlobalOptions& globals) { return query(*arguments, globals); });
  command->add_option("query", arguments->words, "[NAME or FILE.duckdb] and the SQL")->required()->type_name("TEXT");
  command->add_option("--as-of", arguments->as_of, "History as of a time or LSN")->type_name("TIME|LSN");
  command->add_option("--format", arguments->format, "table, csv, json, jsonl or parquet")->type_name("FORMAT");
  command->add_option("--output", arguments->output, "A file for the answer, instead of stdout")->type_name("FILE");
  command->add_option("--sink", arguments->sink, "Which sink (default: the only one with SQL)")->type_name("SINK");
}

}  // namespace tailrace::cli
