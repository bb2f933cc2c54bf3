#include <fmt/format.h>

#include <utility>

#include "pipeline/pipeline.h"

// What people ask of a running pipeline.
namespace tailrace::pipeline {

using std::chrono::milliseconds;

Lsn Pipeline::wait(const WaitOrder& order, std::stop_token stop) {
  const auto deadline = SteadyClock::now() + order.timeout;
  if (!order.sink.empty()) runner(order.sink);
  const Lsn target = order.lsn ? *order.lsn : source_->request_current_end();
  while (true) {
    std::string lacks;
    if (reached(target, order.sink)) {
      if (order.until == WaitOrder::Until::kReached) return target;
      const auto found = missing(target, order.sink, order.until == WaitOrder::Until::kRows);
      if (!found) return target;
      if (found->lack == sinks::Lack::kUntilDecided)
        throw AnswerIsNo("TR229",
                         fmt::format("{} was reached, but not everything is there: {}", target.str(), found->what),
                         "mend the table as `tailrace status` says, or leave held tables out of account: --allow-held");
      lacks = ": " + found->what;
    }
    for (const auto& candidate : runners_) {
      const bool meant = order.sink.empty() || candidate->setup().name == order.sink;
      if (meant && candidate->failure()) std::rethrow_exception(candidate->failure());
    }
    std::unique_lock lock(mutex_);
    if (SteadyClock::now() >= deadline || stopping_ || stop.stop_requested()) {
      throw TimeoutError("TR221",
                         fmt::format("not every sink holds everything up to {} in time{}", target.str(), lacks),
                         "look at `tailrace status`, or wait longer with --timeout");
    }
    changed_.wait_for(lock, stop, milliseconds(20), [] { return false; });
  }
}

SinkRunner& Pipeline::runner(const std::string& sink) const {
  for (const auto& candidate : runners_) {
    if (candidate->setup().name == sink) return *candidate;
  }
  throw BadConfigError("TR513", fmt::format("{} has no sink `{}`", spec_.name, sink), "look at `tailrace status`");
}

const SinkSetup& Pipeline::queryable(const std::string& sink) const { return queryable_sink(spec_, sink); }

const SinkSetup& Pipeline::lend(const std::string& sink, milliseconds timeout) {
  const SinkSetup& setup = queryable(sink);
  runner(setup.name).lend(timeout);
  return setup;
}

void Pipeline::set_paused(const std::string& sink, bool paused) {
  if (!sink.empty()) return runner(sink).set_paused(paused);
  for (const auto& one : runners_) one->set_paused(paused);
}

Cursor Pipeline::rewind(const std::string& sink, const Rewinding& to, milliseconds timeout) {
  return runner(sink).rewind(to, timeout);
}

TargetVisit Pipeline::visit(const std::string& sink, milliseconds patience, std::stop_token stop) {
  return runner(sink).visit(patience, std::move(stop));
}

std::uint64_t Pipeline::mend(const std::string& sink, Mending mending, milliseconds timeout) {
  return runner(sink).mend(std::move(mending), timeout);
}

void Pipeline::note_differences(const std::string& sink, std::vector<Problem> differences) {
  const std::lock_guard lock(mutex_);
  differences_[sink] = std::move(differences);
}

void Pipeline::give_back(const std::string& sink) { runner(sink).give_back(); }

void Pipeline::copy_again(const std::vector<std::string>& tables, const std::string& where, const std::string& sink) {
  std::vector<CopyRequest> requests;
  for (const std::string& table : tables) {
    const auto dot = table.find('.');
    const bool bare = dot == std::string::npos;
    requests.push_back({{bare ? "public" : table.substr(0, dot), bare ? table : table.substr(dot + 1)}, where});
    if (!where.empty()) source_->check_condition(requests.back().table, where);
  }
  if (!sink.empty()) return runner(sink).request_copies(requests);
  for (const auto& one : runners_) one->request_copies(requests);
}

void Pipeline::copy_everything_again(const std::string& sink, std::stop_token stop) {
  SinkRunner& asked = runner(sink);
  const std::unique_ptr<sources::Copy> published = begin_copy(std::move(stop), {});
  if (!published) return;
  std::vector<CopyRequest> requests;
  for (const sources::TableToCopy& table : published->tables())
    requests.push_back({{table.relation->schema, table.relation->name}, {}});
  asked.request_copies(requests);
}

}  // namespace tailrace::pipeline
