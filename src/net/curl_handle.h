#pragma once

#include <curl/curl.h>

#include <array>
#include <string>

#include "net/server_address.h"

namespace tailrace::net {

/// A libcurl handle with what all our connections have in common: no proxy, no signals, time-outs for connecting,
/// keepalives, the files of TLS. Owned by a connection, used by its thread.
class CurlHandle {
 public:
  explicit CurlHandle(const ConnectionTerms& terms);
  ~CurlHandle();
  CurlHandle(const CurlHandle&) = delete;
  CurlHandle& operator=(const CurlHandle&) = delete;

  CURL* get() const { return curl_; }
  template <typename Value>
  void set(CURLoption option, Value value) {
    curl_easy_setopt(curl_, option, value);
  }
  CURLcode perform();
  /// Before it is used again by others than perform().
  void forget_failure() { why_[0] = '\0'; }
  /// Why what it was last used for failed, for people.
  std::string failure(CURLcode code) const;
  /// Whether that was for want of trust between the two ends: a certificate that does not hold, or one that is missing.
  bool is_about_trust(CURLcode code) const;

 private:
  CURL* curl_;
  std::array<char, CURL_ERROR_SIZE> why_{};
};

/// Several handles that are used at the same time by one thread. They are taken out before it ends.
class CurlMulti {
 public:
  CurlMulti();
  ~CurlMulti();
  CurlMulti(const CurlMulti&) = delete;
  CurlMulti& operator=(const CurlMulti&) = delete;

  CURLM* get() const { return multi_; }

 private:
  CURLM* multi_;
};

}  // namespace tailrace::net
