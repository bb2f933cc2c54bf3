#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace tailrace::cli {

/// Whether colours are allowed at all (flag); NO_COLOR, TERM=dumb and a stream that is no terminal switch them off too.
void set_color(bool allowed);

enum class Colour { kGreen, kYellow, kRed, kBold };

/// `text` in that colour if `fd` (1 or 2) is a terminal that wants colours, else as it is.
std::string painted(std::string_view text, Colour colour, int fd);

bool is_terminal(int fd);
/// Columns of the terminal behind `fd`; 80 when it is none.
int terminal_width(int fd);

/// How a user's error looks: `error: WHAT [CODE]`, the place in the file where there is one, `help: REMEDY`; on stderr.
/// With `json`, one document on stdout besides.
void print_error(const Error& error, bool json);
std::string error_text(const Error& error, int fd);

/// "1.4 s", "38 ms", "4m12s".
std::string human_seconds(double seconds);
/// "18 MB", "1.2 GB": powers of 1000, as disks are sold.
std::string human_bytes(std::uint64_t bytes);
/// "14,203"; from ten million on "12.3M".
std::string human_count(std::uint64_t count);

}  // namespace tailrace::cli
