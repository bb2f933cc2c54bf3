#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

namespace tailrace::cli {

/// A PostgreSQL server of our own for `tailrace demo`: made in a temporary directory from the machine's binaries,
/// reachable over a Unix socket in that directory only, and removed with everything in it by the destructor.
/// One thread owns it.
class PrivatePostgres {
 public:
  /// Finds the newest server binaries, makes a cluster with logical decoding switched on, and starts it.
  /// Throws RefusedError (TR180) when there are no binaries, naming what to install, and when the server does not
  /// start.
  explicit PrivatePostgres(const std::filesystem::path& directory);
  ~PrivatePostgres();
  PrivatePostgres(const PrivatePostgres&) = delete;
  PrivatePostgres& operator=(const PrivatePostgres&) = delete;

  /// A conninfo of its superuser for database "shop".
  std::string conninfo() const;
  /// The major version.
  const std::string& version() const { return version_; }

 private:
  void make_cluster();
  void start();
  void stop() noexcept;

  std::filesystem::path binaries_;
  std::filesystem::path directory_;
  std::string version_;
  /// Whom the server runs as; it refuses to run as root.
  std::string account_;
  bool running_ = false;
};

}  // namespace tailrace::cli
