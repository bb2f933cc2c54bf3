#include "net/curl_handle.h"

#include <algorithm>
#include <new>
#include <string_view>

namespace tailrace::net {
namespace {

/// libcurl wants to be told once per process, before other threads use it; static objects are made by one thread.
struct CurlLibrary {
  CurlLibrary() { curl_global_init(CURL_GLOBAL_DEFAULT); }
};

template <typename Handle>
Handle* made(Handle* (*make)()) {
  static const CurlLibrary library;
  Handle* handle = make();
  if (handle == nullptr) throw std::bad_alloc();
  return handle;
}

}  // namespace

CurlHandle::CurlHandle(const ConnectionTerms& terms) : curl_(made(curl_easy_init)) {
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROXY, "");
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(terms.timeout.count()));
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_ERRORBUFFER, why_.data());
  if (!terms.ca_file.empty()) set(CURLOPT_CAINFO, terms.ca_file.c_str());
  if (!terms.certificate_file.empty()) set(CURLOPT_SSLCERT, terms.certificate_file.c_str());
  if (!terms.key_file.empty()) set(CURLOPT_SSLKEY, terms.key_file.c_str());
}

CurlHandle::~CurlHandle() { curl_easy_cleanup(curl_); }

CURLcode CurlHandle::perform() {
  forget_failure();
  return curl_easy_perform(curl_);
}

std::string CurlHandle::failure(CURLcode code) const {
  return why_[0] != '\0' ? why_.data() : curl_easy_strerror(code);
}

bool CurlHandle::is_about_trust(CURLcode code) const {
  if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
      code == CURLE_SSL_ISSUER_ERROR)
    return true;
  // With TLS 1.3 a server says what it thinks of our certificate only when we read: RFC 8446, 6.2.
  const std::string_view why = why_.data();
  static constexpr std::array<std::string_view, 7> kAlerts = {"alert certificate required",
                                                              "alert bad certificate",
                                                              "alert unsupported certificate",
                                                              "alert certificate revoked",
                                                              "alert certificate expired",
                                                              "alert certificate unknown",
                                                              "alert unknown ca"};
  return std::ranges::any_of(kAlerts, [why](std::string_view alert) { return why.find(alert) != why.npos; });
}

CurlMulti::CurlMulti() : multi_(made(curl_multi_init)) {}
CurlMulti::~CurlMulti() { curl_multi_cleanup(multi_); }

}  // namespace tailrace::net
