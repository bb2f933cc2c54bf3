#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sinks/warehouse/adbc_driver.h"

namespace tailrace::warehouse {

/// What a driver said instead of an answer. `text` may hold row values and parts of statements.
struct AdbcFailure {
  abi::Status status = abi::kOk;
  /// The warehouse's number; 0: the error is not of the warehouse.
  int vendor_code = 0;
  std::string sqlstate;
  std::string text;
};

/// What was being done. Of statements about rows nothing of an error's text is repeated, since it may hold values.
enum class About { kConnecting, kStatement, kRows };

/// Throws the error that a failure asks for.
using FailureReader = std::function<void(const AdbcFailure& failure, About about)>;

/// Options of a driver's database, in the order in which they are set.
using AdbcOptions = std::vector<std::pair<std::string, std::string>>;

/// A session at a warehouse. One thread. Its calls throw what the failure reader throws.
class Session {
 public:
  /// Connects. `read_failure` never returns.
  Session(const AdbcDriver& driver, const AdbcOptions& options, FailureReader read_failure);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void run(const std::string& sql, About about = About::kStatement);
  /// False, and nothing else, for a failure that is `expected`.
  bool run_unless(const std::string& sql, const std::function<bool(const AdbcFailure&)>& expected);
  /// Rows whose columns are all text.
  std::vector<std::vector<std::optional<std::string>>> select(const std::string& sql);

 private:
  void must(abi::Status status, abi::Error& error, About about);
  using EachBatch = std::function<void(const abi::ArrowSchema&, const abi::ArrowArray&)>;
  /// The answer's rows go through `each`, where it is not null. Gives why there is none.
  std::optional<AdbcFailure> execute(const std::string& sql, const EachBatch& each);
  void fail(const AdbcFailure& failure, About about);

  /// What a session leaves behind ends by itself at the warehouse.
  struct Handles {
    explicit Handles(const AdbcDriver& of) : driver(of) {}
    ~Handles();
    Handles(const Handles&) = delete;
    Handles& operator=(const Handles&) = delete;
    const AdbcDriver& driver;
    abi::Database database{};
    abi::Connection connection{};
  };

  const AdbcDriver& driver_;
  const FailureReader read_failure_;
  Handles handles_;
};

}  // namespace tailrace::warehouse
