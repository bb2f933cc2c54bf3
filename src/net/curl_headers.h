#pragma once

#include <curl/curl.h>

#include <string>

namespace tailrace::net {

/// Lines that libcurl sends before a body; it refers to them, so they live as long as the request. One thread.
class HeaderList {
 public:
  HeaderList() = default;
  ~HeaderList() { curl_slist_free_all(list_); }
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;
  void add(const std::string& header);
  curl_slist* get() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

}  // namespace tailrace::net
