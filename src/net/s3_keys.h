#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "net/s3_signature.h"

namespace tailrace::net {

/// Keys that somebody lent us. Holds secrets. A value.
struct LentKeys {
  S3Credentials keys;
  /// Nothing: they do not run out.
  std::optional<std::chrono::system_clock::time_point> until;
};

/// "2026-01-31T12:00:00Z", with or without a fraction of a second; nothing: it is no such time.
std::optional<std::chrono::system_clock::time_point> read_time(std::string_view text);

/// The keys that requests are signed with: fixed ones, or ones that are fetched and fetched again before they run out.
/// Shared by the clients of a bucket; any thread.
class S3Keys {
 public:
  /// Throws RetryError for what may pass, RefusedError for what will not.
  using Fetch = std::function<LentKeys()>;
  using Clock = std::function<std::chrono::system_clock::time_point()>;

  explicit S3Keys(S3Credentials fixed) : kept_{{std::move(fixed), std::nullopt}} {}
  explicit S3Keys(Fetch fetch, Clock clock = std::chrono::system_clock::now);

  /// Fetches when there are none, or when they come close to their end; while they hold, a fetch that fails passes
  /// unnoticed. Throws what `fetch` throws.
  S3Credentials current();
  /// A server says that `used` are no longer good. Whether there are others now. Throws what `fetch` throws.
  bool renew(const S3Credentials& used);

 private:
  void take(LentKeys lent);

  const Fetch fetch_;
  const Clock clock_;
  std::mutex mutex_;
  std::optional<LentKeys> kept_;
  /// When others are to be fetched, and not again before.
  std::chrono::system_clock::time_point next_;
};

}  // namespace tailrace::net
