#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/server_address.h"

namespace tailrace::webhook {

/// On what terms receivers are talked to. Holds secrets.
struct HttpSettings : net::ConnectionTerms {
  /// Empty: none, whatever the environment says.
  std::string proxy;
};

struct HttpRequest {
  std::string method;
  std::string url;
  /// Name and value.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

/// What became of a request.
struct HttpAnswer {
  /// The number that the request was started with.
  std::size_t request = 0;
  /// 0: no answer came; then `failure` says why, for a person.
  long status = 0;
  std::string failure;
  /// Its beginning.
  std::string body;
  /// How long the server wants to be left alone, at most an hour; 0: it does not say.
  std::chrono::seconds retry_after{0};
};

/// Bytes of an answer's body that are kept.
inline constexpr std::size_t kKeptBody = 512;
/// A body beyond this is not read to its end.
inline constexpr std::size_t kLongestBody = 256U << 10;

/// Several HTTP requests at a time, over connections that stay. Certificates are verified, redirects not followed. One
/// thread.
class HttpClient {
 public:
  explicit HttpClient(const HttpSettings& settings);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void start(std::size_t number, HttpRequest request);
  std::size_t running() const;
  /// Waits until one or more have ended. REQUIRES: one is running.
  std::vector<HttpAnswer> wait();
  /// Connects, and sends nothing: why that fails, for a person; empty: it does not.
  std::string try_connection(const std::string& url);

 private:
  struct Transfer;
  struct Bundle;

  const HttpSettings settings_;
  std::unique_ptr<Bundle> bundle_;
  std::vector<std::unique_ptr<Transfer>> running_;
  std::vector<std::unique_ptr<Transfer>> idle_;
};

}  // namespace tailrace::webhook
