#pragma once

#include <fmt/format.h>

#include <charconv>
#include <string>
#include <string_view>
#include <system_error>

#include "net/server_address.h"

namespace tailrace::net {

/// Reads the parts of a server's URL. What is wrong is a BadConfigError that shows nothing of the URL, since it may
/// hold secrets. A value.
class UrlReader {
 public:
  /// `kind`: whose URL it is ("Redis"); `remedy`: how it is written.
  UrlReader(std::string kind, std::string code, std::string remedy);

  /// `what`: as the end of "the Redis URL …".
  [[noreturn]] void refuse(const std::string& what) const;
  /// "%XX" as what they stand for.
  std::string decoded(std::string_view text) const;
  /// `what`: the part of the URL, for the error.
  template <typename Number>
  Number number(std::string_view text, const std::string& what) const {
    Number value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || failed != std::errc() || end != text.data() + text.size()) refuse_number(what);
    return value;
  }
  /// "user:password"; what is not there stays as it is.
  void read_user(std::string_view text, ServerAddress& address) const;
  /// "host:port" or "[address]:port"; without a port it stays as it is.
  void read_host(std::string_view text, ServerAddress& address) const;
  [[noreturn]] void refuse_number(const std::string& what) const;

 private:
  std::string kind_;
  std::string code_;
  std::string remedy_;
};

}  // namespace tailrace::net
