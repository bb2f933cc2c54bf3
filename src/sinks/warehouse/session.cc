#include "sinks/warehouse/session.h"

#include <cerrno>
#include <string_view>

#include "base/error.h"

namespace tailrace::warehouse {
namespace {

using Rows = std::vector<std::vector<std::optional<std::string>>>;

/// Owned by a call: what a driver filled it releases.
struct OwnedError {
  OwnedError() = default;
  ~OwnedError() {
    if (it.release != nullptr) it.release(&it);
  }
  OwnedError(const OwnedError&) = delete;
  OwnedError& operator=(const OwnedError&) = delete;
  abi::Error it{};
};

template <typename Released>
struct Owned {
  Owned() = default;
  ~Owned() {
    if (it.release != nullptr) it.release(&it);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  Released it{};
};

struct OwnedStatement {
  explicit OwnedStatement(const AdbcDriver& of) : driver(of) {}
  ~OwnedStatement() {
    OwnedError ignored;
    if (it.private_data != nullptr) driver.statement_release(&it, &ignored.it);
  }
  OwnedStatement(const OwnedStatement&) = delete;
  OwnedStatement& operator=(const OwnedStatement&) = delete;
  const AdbcDriver& driver;
  abi::Statement it{};
};

AdbcFailure failure_of(abi::Status status, const abi::Error& error) {
  AdbcFailure failure;
  failure.status = status;
  failure.vendor_code = error.vendor_code;
  if (error.sqlstate[0] != '\0') failure.sqlstate.assign(error.sqlstate, sizeof(error.sqlstate));
  if (error.message != nullptr) failure.text = error.message;
  return failure;
}

bool is_null(const abi::ArrowArray& array, std::int64_t row) {
  const auto* bits = static_cast<const std::uint8_t*>(array.buffers[0]);
  if (bits == nullptr || array.null_count == 0) return false;
  const auto at = static_cast<std::size_t>(array.offset + row);
  return ((bits[at / 8] >> (at % 8)) & 1) == 0;
}

template <typename Offset>
std::string text_at(const abi::ArrowArray& array, std::int64_t row) {
  const auto* offsets = static_cast<const Offset*>(array.buffers[1]) + array.offset + row;
  return {static_cast<const char*>(array.buffers[2]) + offsets[0], static_cast<std::size_t>(offsets[1] - offsets[0])};
}

void append_rows(const abi::ArrowSchema& schema, const abi::ArrowArray& batch, Rows& rows) {
  const std::size_t first = rows.size();
  rows.resize(first + static_cast<std::size_t>(batch.length));
  for (std::int64_t column = 0; column < batch.n_children; ++column) {
    const std::string_view format = schema.children[column]->format;
    if (format != "u" && format != "U") throw DefectError("a column that was read is no text");
    const abi::ArrowArray& array = *batch.children[column];
    for (std::int64_t row = 0; row < batch.length; ++row) {
      // The batch is a structure, whose rows begin where it says.
      const std::int64_t at = batch.offset + row;
      std::optional<std::string> value;
      if (!is_null(array, at))
        value = format == "u" ? text_at<std::int32_t>(array, at) : text_at<std::int64_t>(array, at);
      rows[first + static_cast<std::size_t>(row)].push_back(std::move(value));
    }
  }
}

}  // namespace

Session::Handles::~Handles() {
  OwnedError ignored;
  if (connection.private_data != nullptr) driver.connection_release(&connection, &ignored.it);
  OwnedError ignored_too;
  if (database.private_data != nullptr) driver.database_release(&database, &ignored_too.it);
}

Session::Session(const AdbcDriver& driver, const AdbcOptions& options, FailureReader read_failure)
    : driver_(driver), read_failure_(std::move(read_failure)), handles_(driver) {
  constexpr About kConnecting = About::kConnecting;
  OwnedError error;
  must(driver_.database_new(&handles_.database, &error.it), error.it, kConnecting);
  for (const auto& [key, value] : options)
    must(driver_.database_set_option(&handles_.database, key.c_str(), value.c_str(), &error.it), error.it, kConnecting);
  must(driver_.database_init(&handles_.database, &error.it), error.it, kConnecting);
  must(driver_.connection_new(&handles_.connection, &error.it), error.it, kConnecting);
  must(driver_.connection_init(&handles_.connection, &handles_.database, &error.it), error.it, kConnecting);
}

void Session::fail(const AdbcFailure& failure, About about) {
  read_failure_(failure, about);
  throw DefectError("a failure of a driver was not told of");
}

void Session::must(abi::Status status, abi::Error& error, About about) {
  if (status != abi::kOk) fail(failure_of(status, error), about);
}

std::optional<AdbcFailure> Session::execute(const std::string& sql, const EachBatch& each) {
  OwnedError error;
  OwnedStatement statement{driver_};
  abi::Status status = driver_.statement_new(&handles_.connection, &statement.it, &error.it);
  if (status == abi::kOk) status = driver_.statement_set_sql(&statement.it, sql.c_str(), &error.it);
  Owned<abi::ArrowArrayStream> stream;
  if (status == abi::kOk) status = driver_.statement_execute(&statement.it, &stream.it, nullptr, &error.it);
  if (status != abi::kOk) return failure_of(status, error.it);
  if (stream.it.release == nullptr || !each) return std::nullopt;
  const auto broken = [&stream]() -> AdbcFailure {
    const char* why = stream.it.get_last_error(&stream.it);
    return {.status = abi::kIo, .text = why == nullptr ? "" : why};
  };
  Owned<abi::ArrowSchema> schema;
  if (stream.it.get_schema(&stream.it, &schema.it) != 0) return broken();
  while (true) {
    Owned<abi::ArrowArray> batch;
    if (stream.it.get_next(&stream.it, &batch.it) != 0) return broken();
    if (batch.it.release == nullptr) return std::nullopt;
    each(schema.it, batch.it);
  }
}

void Session::run(const std::string& sql, About about) {
  if (const auto failure = execute(sql, nullptr)) fail(*failure, about);
}

bool Session::run_unless(const std::string& sql, const std::function<bool(const AdbcFailure&)>& expected) {
  const auto failure = execute(sql, nullptr);
  if (failure && !expected(*failure)) fail(*failure, About::kStatement);
  return !failure;
}

Rows Session::select(const std::string& sql) {
  Rows rows;
  const auto failure = execute(
      sql, [&rows](const abi::ArrowSchema& schema, const abi::ArrowArray& batch) { append_rows(schema, batch, rows); });
  if (failure) fail(*failure, About::kStatement);
  return rows;
}

}  // namespace tailrace::warehouse
