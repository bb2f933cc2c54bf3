#include "pipeline/control_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace tailrace::pipeline {
namespace {

constexpr int kPollMillis = 100;

BadConfigError unusable(const std::filesystem::path& path) {
  return {"TR512", fmt::format("the control socket {} cannot be used: {}", path.string(), std::strerror(errno)),
          "check that the state directory is writable and on a local disk"};
}

/// The address, and the directory kept open while it is needed.
struct Address {
  explicit Address(const std::filesystem::path& path) {
    address.sun_family = AF_UNIX;
    std::string text = path.string();
    if (text.size() >= sizeof(address.sun_path)) {
      directory = UniqueFd(::open(path.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!directory) throw unusable(path);
      text = fmt::format("/proc/self/fd/{}/{}", directory.get(), path.filename().string());
    }
    std::memcpy(address.sun_path, text.c_str(), text.size() + 1);
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }

  sockaddr_un address{};
  UniqueFd directory;
};

}  // namespace

UniqueFd listen_on(const std::filesystem::path& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Address address(path);
  ::unlink(path.c_str());
  const bool listens = socket && ::bind(socket.get(), address.get(), sizeof(address.address)) == 0 &&
                       ::chmod(path.c_str(), 0600) == 0 && ::listen(socket.get(), 64) == 0;
  if (!listens) throw unusable(path);
  return socket;
}

std::optional<UniqueFd> connect_to(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Address address(path);
  if (::connect(socket.get(), address.get(), sizeof(address.address)) == 0) return socket;
  if (errno == ECONNREFUSED || errno == ENOENT) return std::nullopt;
  throw unusable(path);
}

std::optional<std::string> LineChannel::read(std::stop_token stop) {
  std::size_t searched = 0;
  while (true) {
    const std::size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    searched = buffer_.size();
    if (searched > longest_ || !fill(stop)) return std::nullopt;
  }
}

std::optional<std::string> LineChannel::read_bytes(std::size_t size, std::stop_token stop) {
  while (buffer_.size() < size) {
    if (!fill(stop)) return std::nullopt;
  }
  std::string bytes = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return bytes;
}

bool LineChannel::fill(std::stop_token stop) {
  while (!stop.stop_requested()) {
    pollfd poll{socket_, POLLIN, 0};
    if (::poll(&poll, 1, kPollMillis) < 0 && errno != EINTR) return false;
    if (poll.revents == 0) continue;
    std::array<char, 65536> bytes{};
    const ssize_t n = ::recv(socket_, bytes.data(), bytes.size(), 0);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) return false;
    if (n < 0) continue;
    buffer_.append(bytes.data(), static_cast<std::size_t>(n));
    return true;
  }
  return false;
}

bool LineChannel::write(std::string_view line) { return write_bytes(std::string(line) + '\n'); }

bool LineChannel::write_bytes(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool LineChannel::hung_up(std::chrono::milliseconds wait) {
  pollfd poll{socket_, POLLIN | POLLRDHUP, 0};
  if (::poll(&poll, 1, static_cast<int>(wait.count())) <= 0) return false;
  return (poll.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

}  // namespace tailrace::pipeline
