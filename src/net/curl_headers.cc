#include "net/curl_headers.h"

#include <new>

namespace tailrace::net {

void HeaderList::add(const std::string& header) {
  curl_slist* more = curl_slist_append(list_, header.c_str());
  if (more == nullptr) throw std::bad_alloc();
  list_ = more;
}

}  // namespace tailrace::net
