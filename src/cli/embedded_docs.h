#pragma once

#include <span>
#include <string_view>

namespace tailrace::cli {

/// A page of docs/ as it was when this binary was built.
struct EmbeddedPage {
  std::string_view name;
  /// Its first heading.
  std::string_view title;
  std::string_view text;
};

/// All pages that `tailrace docs` shows. Static; any thread.
std::span<const EmbeddedPage> embedded_pages();

}  // namespace tailrace::cli
