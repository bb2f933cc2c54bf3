#include "pipeline/state_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace tailrace::pipeline {
namespace {

BadConfigError unusable(const std::filesystem::path& path, const std::string& why) {
  return {"TR512", fmt::format("the state directory {} cannot be used: {}", path.string(), why),
          "make it writable, or name another with --state"};
}

std::string holder_of(int lock) {
  std::array<char, 32> text{};
  const ssize_t n = ::pread(lock, text.data(), text.size() - 1, 0);
  std::string pid(text.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  return pid.empty() ? "unknown" : pid;
}

}  // namespace

StateDirectory::StateDirectory(const std::filesystem::path& root) : paths_{root} {
  std::error_code error;
  std::filesystem::create_directories(root, error);
  if (error) throw unusable(root, error.message());
  lock_ = UniqueFd(::open(paths_.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_) throw unusable(root, std::strerror(errno));
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    throw BadConfigError("TR511",
                         fmt::format("the state in {} is in use by process {}", root.string(), holder_of(lock_.get())),
                         "stop that process, or give this pipeline another name or --state");
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock_.get(), 0) != 0 ||
      ::pwrite(lock_.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    throw unusable(root, std::strerror(errno));
  }
}

std::filesystem::path default_state_root() { return "tailrace-data"; }

StatePaths find_state(const std::string& state, const std::string& name) {
  if (!state.empty() || !name.empty()) {
    const StatePaths paths{state.empty() ? default_state_root() / name : std::filesystem::path(state)};
    if (std::filesystem::exists(paths.catalog())) return paths;
    throw BadConfigError("TR513", fmt::format("there is no pipeline in {}", paths.root.string()),
                         "check the name, the current directory, or name the state with --state");
  }
  std::vector<std::filesystem::path> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(default_state_root(), ignored)) {
    if (std::filesystem::exists(StatePaths{entry.path()}.catalog())) found.push_back(entry.path());
  }
  if (found.size() == 1) return StatePaths{found.front()};
  if (found.empty()) {
    throw BadConfigError("TR513", fmt::format("there is no pipeline in ./{}", default_state_root().string()),
                         "go to the directory where it runs, or name its state with --state");
  }
  throw BadConfigError("TR513", fmt::format("there are {} pipelines here", found.size()),
                       fmt::format("say which: `{}` for example", found.front().filename().string()));
}

}  // namespace tailrace::pipeline
