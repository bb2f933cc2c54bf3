#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "sinks/warehouse/adbc_abi.h"

namespace tailrace::warehouse {

/// An ADBC driver in this process. Loaded once and never unloaded, since drivers have threads of their own; any thread.
class AdbcDriver {
 public:
  /// Throws RefusedError TR880 when it is no library, or none of ADBC's.
  static const AdbcDriver& load(const std::filesystem::path& library);

  abi::Status (*database_new)(abi::Database*, abi::Error*) = nullptr;
  abi::Status (*database_set_option)(abi::Database*, const char* key, const char* value, abi::Error*) = nullptr;
  abi::Status (*database_init)(abi::Database*, abi::Error*) = nullptr;
  abi::Status (*database_release)(abi::Database*, abi::Error*) = nullptr;
  abi::Status (*connection_new)(abi::Connection*, abi::Error*) = nullptr;
  abi::Status (*connection_init)(abi::Connection*, abi::Database*, abi::Error*) = nullptr;
  abi::Status (*connection_release)(abi::Connection*, abi::Error*) = nullptr;
  abi::Status (*statement_new)(abi::Connection*, abi::Statement*, abi::Error*) = nullptr;
  abi::Status (*statement_set_sql)(abi::Statement*, const char* sql, abi::Error*) = nullptr;
  abi::Status (*statement_execute)(abi::Statement*, abi::ArrowArrayStream* out, std::int64_t* rows,
                                   abi::Error*) = nullptr;
  abi::Status (*statement_release)(abi::Statement*, abi::Error*) = nullptr;

 private:
  AdbcDriver() = default;
};

/// Where a driver may be: what the option says, what the environment says, beside the binary, where tools/bootstrap
/// puts it.
struct DriverPlaces {
  /// Of the option; not empty: only there.
  std::string given;
  /// The variable of the environment that names the file.
  const char* variable = "";
  /// The library's name.
  const char* file = "";
  /// Its folder in $TAILRACE_DEPS (default ~/.cache/tailrace): a folder per version lies in it.
  const char* deps_folder = "";
};
/// The first of the places that has the file. Throws RefusedError TR880, with all places, when none has.
std::filesystem::path find_driver(const DriverPlaces& places);

}  // namespace tailrace::warehouse
