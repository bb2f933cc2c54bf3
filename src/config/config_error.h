#pragma once

#include <string>
#include <utility>

#include "base/error.h"

namespace tailrace::config {

/// The configuration is wrong at a place of a file. Knows how that place looks; the text never holds the value of a
/// reference or a secret.
class ConfigError : public BadConfigError {
 public:
  ConfigError(std::string code, const std::string& what, std::string remedy, std::string excerpt)
      : BadConfigError(std::move(code), what, std::move(remedy)), excerpt_(std::move(excerpt)) {}

  /// " --> FILE:LINE:COL" and, where it can be shown, the line with a caret under the place; ends with a newline, or
  /// empty when no file is involved.
  const std::string& excerpt() const { return excerpt_; }

 private:
  std::string excerpt_;
};

}  // namespace tailrace::config
