#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace tailrace::pipeline {

/// A unix socket's address has room for 107 bytes; longer paths are reached through their directory.
/// Both throw BadConfigError TR512 when the path cannot be used at all.
UniqueFd listen_on(const std::filesystem::path& path);
/// Nothing when nobody listens there.
std::optional<UniqueFd> connect_to(const std::filesystem::path& path);

/// Lines, and bytes between them, over a connected socket, which belongs to somebody else. One thread.
class LineChannel {
 public:
  static constexpr std::size_t kLongestLine = 1U << 20;

  explicit LineChannel(int socket, std::size_t longest = kLongestLine) : socket_(socket), longest_(longest) {}

  /// The next line without its end. Nothing when the other side is gone, sends a line longer than `longest`, or a stop
  /// was requested.
  std::optional<std::string> read(std::stop_token stop);
  /// The next `size` bytes. Nothing when the other side is gone or a stop was requested.
  std::optional<std::string> read_bytes(std::size_t size, std::stop_token stop);
  /// Both are false when the other side is gone.
  bool write(std::string_view line);
  bool write_bytes(std::string_view bytes);
  /// Whether the other side has hung up; waits up to `wait`.
  bool hung_up(std::chrono::milliseconds wait);

 private:
  /// False when the other side is gone or a stop was requested.
  bool fill(std::stop_token stop);

  const int socket_;
  const std::size_t longest_;
  std::string buffer_;
};

}  // namespace tailrace::pipeline
