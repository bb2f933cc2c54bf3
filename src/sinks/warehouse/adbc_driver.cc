#include "sinks/warehouse/adbc_driver.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <system_error>

#include "base/error.h"

namespace tailrace::warehouse {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRemedy =
    "put the ADBC driver (libadbc_driver_snowflake.so, of the Python package adbc-driver-snowflake) beside the binary, "
    "name it by `driver`, or run tools/bootstrap --snowflake";

template <typename Function>
void look_up(void* library, const char* name, const fs::path& path, Function& into) {
  void* found = ::dlsym(library, name);
  if (found == nullptr)
    throw RefusedError("TR880", fmt::format("{} is no ADBC driver: it has no {}", path.string(), name), kRemedy);
  into = reinterpret_cast<Function>(found);
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

/// The newest version that is there.
fs::path in_deps(const DriverPlaces& places) {
  std::string deps = environment("TAILRACE_DEPS");
  if (deps.empty()) deps = environment("HOME") + "/.cache/tailrace";
  std::vector<fs::path> found;
  std::error_code failed;
  for (fs::directory_iterator at(fs::path(deps) / places.deps_folder, failed), end; !failed && at != end;
       at.increment(failed))
    if (fs::exists(at->path() / places.file, failed)) found.push_back(at->path() / places.file);
  return found.empty() ? fs::path(deps) / places.deps_folder / places.file : *std::ranges::max_element(found);
}

}  // namespace

const AdbcDriver& AdbcDriver::load(const fs::path& path) {
  static std::mutex mutex;
  static std::map<fs::path, std::unique_ptr<AdbcDriver>> loaded;
  const std::lock_guard lock(mutex);
  const auto known = loaded.find(path);
  if (known != loaded.end()) return *known->second;
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    const char* why = ::dlerror();
    throw RefusedError("TR880", fmt::format("the ADBC driver cannot be loaded: {}", why == nullptr ? "" : why),
                       kRemedy);
  }
  std::unique_ptr<AdbcDriver> driver(new AdbcDriver());
  look_up(library, "AdbcDatabaseNew", path, driver->database_new);
  look_up(library, "AdbcDatabaseSetOption", path, driver->database_set_option);
  look_up(library, "AdbcDatabaseInit", path, driver->database_init);
  look_up(library, "AdbcDatabaseRelease", path, driver->database_release);
  look_up(library, "AdbcConnectionNew", path, driver->connection_new);
  look_up(library, "AdbcConnectionInit", path, driver->connection_init);
  look_up(library, "AdbcConnectionRelease", path, driver->connection_release);
  look_up(library, "AdbcStatementNew", path, driver->statement_new);
  look_up(library, "AdbcStatementSetSqlQuery", path, driver->statement_set_sql);
  look_up(library, "AdbcStatementExecuteQuery", path, driver->statement_execute);
  look_up(library, "AdbcStatementRelease", path, driver->statement_release);
  return *(loaded[path] = std::move(driver));
}

fs::path find_driver(const DriverPlaces& places) {
  std::error_code failed;
  if (!places.given.empty()) {
    if (fs::exists(places.given, failed)) return places.given;
    throw RefusedError("TR880", fmt::format("there is no ADBC driver {}", places.given), kRemedy);
  }
  std::vector<fs::path> tried;
  if (const std::string named = environment(places.variable); !named.empty()) tried.emplace_back(named);
  const fs::path binary = fs::read_symlink("/proc/self/exe", failed).parent_path();
  tried.push_back(binary / places.file);
  tried.push_back(binary / ".." / "lib" / places.file);
  tried.push_back(in_deps(places));
  std::string listed;
  for (const fs::path& path : tried) {
    if (fs::exists(path, failed)) return path;
    listed += (listed.empty() ? "" : ", ") + path.string();
  }
  throw RefusedError("TR880", fmt::format("the ADBC driver is in none of these places: {}", listed), kRemedy);
}

}  // namespace tailrace::warehouse
