#include "cli/private_postgres.h"

#include <fcntl.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <vector>

#include "base/error.h"

namespace tailrace::cli {
namespace {

namespace fs = std::filesystem;

/// The server's own major number, from the directory's name ("/usr/lib/postgresql/15/bin"), or from PATH.
std::optional<fs::path> newest_binaries() {
  std::optional<fs::path> best;
  int best_major = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", ignored)) {
    const int major = std::atoi(entry.path().filename().c_str());
    const fs::path bin = entry.path() / "bin";
    if (major > best_major && fs::exists(bin / "initdb") && fs::exists(bin / "postgres")) {
      best_major = major;
      best = bin;
    }
  }
  if (best) return best;
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');)
    if (fs::exists(fs::path(folder) / "initdb") && fs::exists(fs::path(folder) / "pg_ctl")) return fs::path(folder);
  return std::nullopt;
}

/// Runs a program to its end with its output in `log`; true when it ended with 0.
bool run(const std::vector<std::string>& words, const fs::path& log) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return false;
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// `words` as another account, when we are root; as they are otherwise.
std::vector<std::string> as_account(const std::string& account, std::vector<std::string> words) {
  if (account.empty()) return words;
  std::vector<std::string> all = {"runuser", "-u", account, "--"};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

/// PostgreSQL refuses to run as root: take its own account, or nobody's.
std::string account_for_server() {
  if (geteuid() != 0) return {};
  for (const char* name : {"postgres", "nobody"})
    if (getpwnam(name) != nullptr) return name;
  return {};
}

/// The log goes with the directory, so its last line is told here.
[[noreturn]] void refused(const std::string& what, const fs::path& log) {
  std::ifstream lines(log);
  std::string last;
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) last = line;
  throw RefusedError("TR180", what + (last.empty() ? "" : ": " + last),
                     "mend that, or use a server of yours: tailrace demo --source URI");
}

}  // namespace

PrivatePostgres::PrivatePostgres(const fs::path& directory) : directory_(directory), account_(account_for_server()) {
  const auto found = newest_binaries();
  if (!found) {
    throw RefusedError("TR180", "no PostgreSQL server binaries on this machine",
                       "apt-get install postgresql, or use a server of yours: tailrace demo --source URI");
  }
  binaries_ = *found;
  fs::create_directories(directory_);
  if (!account_.empty()) {
    const passwd* entry = getpwnam(account_.c_str());
    if (chown(directory_.c_str(), entry->pw_uid, entry->pw_gid) != 0)
      throw RefusedError("TR180", "cannot give the demo's directory to " + account_,
                         "set TMPDIR to a directory of a file system that knows owners");
  }
  make_cluster();
  start();
}

PrivatePostgres::~PrivatePostgres() {
  stop();
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

void PrivatePostgres::make_cluster() {
  const fs::path log = directory_ / "setup.log";
  const fs::path data = directory_ / "data";
  if (!run(as_account(account_, {(binaries_ / "initdb").string(), "-D", data.string(), "-U", "demo", "--auth=trust",
                                 "--encoding=UTF8", "--locale=C", "--no-sync"}),
           log))
    refused("a private PostgreSQL cluster could not be made", log);
  std::ifstream version(data / "PG_VERSION");
  std::getline(version, version_);
  std::ofstream settings(data / "postgresql.conf", std::ios::app);
  settings << "wal_level = logical\nlisten_addresses = ''\nunix_socket_directories = '" << directory_.string()
           << "'\nfsync = off\nshared_buffers = 64MB\nmax_wal_senders = 8\nmax_replication_slots = 8\n";
  if (!settings.flush()) refused("the private cluster could not be configured", log);
}

void PrivatePostgres::start() {
  const fs::path log = directory_ / "setup.log";
  if (!run(as_account(account_, {(binaries_ / "pg_ctl").string(), "-D", (directory_ / "data").string(), "-l",
                                 (directory_ / "server.log").string(), "-w", "-t", "30", "start"}),
           log))
    refused("the private PostgreSQL did not start", log);
  running_ = true;
  if (!run(as_account(account_, {(binaries_ / "createdb").string(), "-h", directory_.string(), "-U", "demo", "shop"}),
           log))
    refused("the demo's database could not be made", log);
}

void PrivatePostgres::stop() noexcept {
  if (!running_) return;
  run(as_account(account_, {(binaries_ / "pg_ctl").string(), "-D", (directory_ / "data").string(), "-m", "immediate",
                            "-w", "stop"}),
      "/dev/null");
  running_ = false;
}

std::string PrivatePostgres::conninfo() const { return "host=" + directory_.string() + " user=demo dbname=shop"; }

}  // namespace tailrace::cli
