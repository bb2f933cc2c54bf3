#pragma once

#include <string>
#include <string_view>

namespace tailrace::postgres {

/// An error report of the server: ErrorResponse's fields that we use. DETAIL and CONTEXT are not among them; `message`,
/// too, may repeat a value of a row.
struct ServerError {
  /// Five characters, empty when the error is the connection's own.
  std::string sqlstate;
  std::string message;

  /// What may be shown: the message, or where it could repeat a value of a row, the SQLSTATE alone.
  std::string shown() const;
};

/// What helps where changes will never come.
inline constexpr const char* kBehindGap =
    "to go on behind what is missing, with the tables copied again: start once with --accept-gap, or set on_lost_slot: "
    "repair; else drop this pipeline and start a new one with a copy";

/// Parses the body of an ErrorResponse or NoticeResponse ('E', 'N').
ServerError parse_server_error(std::string_view body);

/// Throws the error class that fits the reaction: RetryError (busy, starting up, no room), ReconnectError (the session
/// is gone), RefusedError (stays so until somebody changes something). `doing` completes "while ...".
[[noreturn]] void throw_server_error(const ServerError& error, std::string_view doing);

/// The same for a failed connection attempt, from libpq's verbose message. Nothing of the conninfo is repeated.
[[noreturn]] void throw_connection_error(std::string_view libpq_message);

}  // namespace tailrace::postgres
