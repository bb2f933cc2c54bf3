#include "net/curl_handle.h"

#include <new>

namespace tailrace::net {
namespace {

/// libcurl wants to be told once per process, before other threads use it; static objects are made by one thread.
struct CurlLibrary {
  CurlLibrary() { curl_global_init(CURL_GLOBAL_DEFAULT); }
};

CURL* new_handle() {
  static const CurlLibrary library;
  CURL* curl = curl_easy_init();
  if (curl == nullptr) throw std::bad_alloc();
  return curl;
}

}  // namespace

CurlHandle::CurlHandle(const ServerAddress& address) : curl_(new_handle()) {
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROXY, "");
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(address.timeout.count()));
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_ERRORBUFFER, why_.data());
  if (!address.ca_file.empty()) set(CURLOPT_CAINFO, address.ca_file.c_str());
  if (!address.certificate_file.empty()) set(CURLOPT_SSLCERT, address.certificate_file.c_str());
  if (!address.key_file.empty()) set(CURLOPT_SSLKEY, address.key_file.c_str());
}

CurlHandle::~CurlHandle() { curl_easy_cleanup(curl_); }

CURLcode CurlHandle::perform() {
  why_[0] = '\0';
  return curl_easy_perform(curl_);
}

std::string CurlHandle::failure(CURLcode code) const {
  return why_[0] != '\0' ? why_.data() : curl_easy_strerror(code);
}

}  // namespace tailrace::net
