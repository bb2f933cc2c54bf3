#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "sources/postgres/connection.h"
#include "sources/postgres/spec.h"

namespace tailrace::postgres {

/// What a test says that finds no server: it fails, since a promise that nobody tried is not kept.
inline constexpr const char* kNoServer =
    "no private PostgreSQL server could be started: run tools/bootstrap, which installs the server's programs";

/// A PostgreSQL server of a test program's own, on a Unix socket in a temporary directory; removed at the end.
class PrivateCluster {
 public:
  static PrivateCluster& instance() {
    static PrivateCluster cluster;
    return cluster;
  }
  bool running() const { return running_; }

  std::string conninfo(const std::string& database = "postgres", const std::string& user = "postgres") const {
    return "host=" + directory_ + " port=54399 dbname=" + database + " user=" + user;
  }
  SourceSpec spec(const std::string& database) const {
    SourceSpec spec;
    spec.conninfo = conninfo(database);
    spec.slot = "tailrace_" + database;
    spec.publication = "tailrace_" + database;
    return spec;
  }
  std::unique_ptr<Connection> connect(const std::string& database) const {
    return Connection::open(spec(database), ConnectionKind::kSql);
  }
  /// An empty database with that name.
  void create_database(const std::string& name) {
    const auto sql = connect("postgres");
    sql->query(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = '" + name + "' AND active",
        "cleaning up");
    for (int i = 0; i < 50; ++i) {
      if (sql->query("SELECT FROM pg_replication_slots WHERE active AND database = '" + name + "'", "cleaning up")
              .empty())
        break;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    sql->query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '" + name + "'",
               "cleaning up");
    sql->query("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)", "cleaning up");
    sql->query("CREATE DATABASE " + name, "creating a database");
  }
  void restart(const std::string& mode) { run("pg_ctl -w -D " + directory_ + "/data -m " + mode + " restart"); }

 private:
  PrivateCluster() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tailrace_pg_XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) return;
    directory_ = pattern;
    if (geteuid() == 0) std::system(("chown postgres " + directory_).c_str());
    const bool made = run("initdb -A trust -U postgres -N -D " + directory_ + "/data") == 0;
    if (!made) return;
    std::ofstream(directory_ + "/data/postgresql.conf", std::ios::app)
        << "listen_addresses = ''\nport = 54399\nunix_socket_directories = '" << directory_
        << "'\nwal_level = logical\nfsync = off\nshared_buffers = 32MB\nmax_wal_senders = 10\n"
           "max_replication_slots = 10\nlogical_decoding_work_mem = 64kB\nmax_prepared_transactions = 5\n"
           "wal_sender_timeout = 3s\nautovacuum = off\n";
    running_ = run("pg_ctl -w -D " + directory_ + "/data -l " + directory_ + "/server.log start") == 0;
  }
  ~PrivateCluster() {
    if (directory_.empty()) return;
    run("pg_ctl -D " + directory_ + "/data -m immediate stop");
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  int run(const std::string& command) const {
    const char* chosen = std::getenv("TAILRACE_PG_BIN");
    std::string path = chosen == nullptr ? std::string() : std::string(chosen) + ":";
    for (const int version : {18, 17, 16, 15, 14, 13})
      path += "/usr/lib/postgresql/" + std::to_string(version) + "/bin:";
    std::string shell = "PATH=" + path + "$PATH " + command + " >/dev/null 2>&1";
    // The server refuses to run as root.
    if (geteuid() == 0) shell = "runuser -u postgres -- sh -c '" + shell + "'";
    return std::system(shell.c_str());
  }

  std::string directory_;
  bool running_ = false;
};

}  // namespace tailrace::postgres
