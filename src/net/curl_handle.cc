#include "net/curl_handle.h"

#include <new>

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

CurlMulti::CurlMulti() : multi_(made(curl_multi_init)) {}
CurlMulti::~CurlMulti() { curl_multi_cleanup(multi_); }

}  // namespace tailrace::net
