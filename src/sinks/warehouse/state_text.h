#pragma once

#include <string>
#include <string_view>

namespace tailrace::warehouse {

/// The key under which the last write says that it is there. No part of a sink's state.
inline constexpr const char* kWritten = "written";

/// Bytes as a text that every warehouse takes.
std::string to_hex(std::string_view bytes);
/// Throws CorruptionError TR890 for what to_hex() did not write. `display`: where it was read.
std::string from_hex(std::string_view text, const std::string& display);

}  // namespace tailrace::warehouse
