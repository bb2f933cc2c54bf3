#include "sinks/warehouse/warehouse_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <unordered_map>
#include <utility>

#include "base/crash_point.h"
#include "base/error.h"
#include "sinks/warehouse/state_text.h"
#include "sinks/warehouse/warehouse_target.h"

namespace tailrace::warehouse {
namespace {

using sinks::RowChange;

/// Rows of one MERGE of the state: bounds the statement.
constexpr std::size_t kStateRows = 1000;

std::string unique_name() {
  std::random_device chance;
  return fmt::format("TAILRACE_{:08X}{:08X}", chance(), chance());
}

}  // namespace

WarehouseWriter::WarehouseWriter(WarehouseTarget& target) : target_(target), area_(unique_name()) {}
WarehouseWriter::~WarehouseWriter() = default;

Session& WarehouseWriter::session() {
  if (!session_) {
    session_ = target_.connect();
    for (const std::string& statement : target_.dialect().open_area(area_)) session_->run(statement);
  }
  return *session_;
}

void WarehouseWriter::write(std::span<const RowChange> changes, const sinks::StateChanges& state) {
  // Whatever fails takes its transaction with it: the next write begins with a new session.
  struct Hold {
    std::unique_ptr<Session>& session;
    bool done = false;
    ~Hold() {
      if (!done) session.reset();
    }
  } hold{session_};
  const std::vector<Loaded> loaded = load(changes);
  if (!state.empty()) {
    const std::string token = fmt::format("{}:{}", area_, ++files_);
    session().run(target_.dialect().begin());
    merge(loaded);
    write_state(state, token);
    TAILRACE_CRASH_POINT("warehouse.before_commit");
    commit(token);
    TAILRACE_CRASH_POINT("warehouse.committed");
  } else if (loaded.empty()) {
    session().select("SELECT '1'");
  } else {
    merge(loaded);
  }
  hold.done = true;
}

std::vector<WarehouseWriter::Loaded> WarehouseWriter::load(std::span<const RowChange> changes) {
  // Tables in the order in which they come; of one table each row comes once.
  std::vector<std::vector<const RowChange*>> by_table;
  std::vector<Loaded> loaded;
  std::unordered_map<const Relation*, std::size_t> places;
  for (const RowChange& change : changes) {
    const auto [place, is_new] = places.try_emplace(change.relation, by_table.size());
    if (is_new) {
      loaded.push_back({target_.shape(*change.relation), fmt::format("{}_{}", area_, by_table.size())});
      by_table.emplace_back();
    }
    by_table[place->second].push_back(&change);
  }
  for (std::size_t n = 0; n < loaded.size(); ++n) load_table(loaded[n], by_table[n]);
  return loaded;
}

void WarehouseWriter::load_table(const Loaded& loaded, std::span<const RowChange* const> changes) {
  const std::unique_ptr<vectors::ParquetRows> rows = loaded.shape->file(target_.engine());
  for (const RowChange* change : changes) loaded.shape->append(*change, *rows);
  const UniqueFd file = rows->finish();
  const Dialect::Staged staged{
      .file = fmt::format("/proc/self/fd/{}", file.get()), .area = area_, .number = ++files_, .rows = loaded.rows};
  for (const std::string& statement : target_.dialect().load(loaded.shape->plan(), staged))
    session().run(statement, About::kRows);
  TAILRACE_CRASH_POINT("warehouse.loaded");
}

void WarehouseWriter::merge(const std::vector<Loaded>& loaded) {
  for (const Loaded& table : loaded) {
    session().run(target_.dialect().merge(table.shape->plan(), table.rows), About::kRows);
    TAILRACE_CRASH_POINT("warehouse.merged");
  }
}

void WarehouseWriter::write_state(const sinks::StateChanges& state, const std::string& token) {
  std::vector<StateRow> rows = {{kWritten, token}};
  for (const auto& [key, value] : state)
    rows.emplace_back(key, value ? std::optional(to_hex(*value)) : std::optional<std::string>());
  const std::string sink = target_.spec().state_name();
  for (std::size_t at = 0; at < rows.size(); at += kStateRows) {
    const std::span<const StateRow> some = std::span(rows).subspan(at, std::min(kStateRows, rows.size() - at));
    session().run(target_.dialect().merge_state(kStateTable, sink, some), About::kRows);
  }
}

void WarehouseWriter::commit(const std::string& token) {
  session().run(target_.dialect().commit());
  // Where a transaction is gone, a commit says nothing of it: what counts is what is there.
  const auto there =
      session().select(target_.dialect().select_state_value(kStateTable, target_.spec().state_name(), kWritten));
  if (there.size() != 1 || there[0].empty() || there[0][0] != token)
    throw RetryError("TR881", fmt::format("{} lost a transaction", target_.dialect().display()),
                     "none: it is tried again");
}

}  // namespace tailrace::warehouse
