#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace tailrace::config {

/// Where `${NAME}` comes from. The default asks the process' environment.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();

/// Replaces `${ENV}`, `${ENV:-default}` and `${file:/path}` in one scalar; `$${` stands for a plain `${`. What comes
/// out may be a secret. Throws BadConfigError TR203 (not set, not closed) or TR206 (file not readable); the text names
/// the reference, never what it holds.
std::string resolve_references(std::string_view text, const Environment& environment);

}  // namespace tailrace::config
