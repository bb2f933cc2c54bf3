#pragma once

#include <string>
#include <vector>

namespace tailrace::postgres {

/// One server of those that a conninfo names, as libpq's options; what is empty is left as the conninfo has it. A
/// value.
struct ServerPlace {
  std::string host;
  std::string hostaddr;
  std::string port;
  std::string target_session_attrs;

  friend bool operator==(const ServerPlace&, const ServerPlace&) = default;
};

/// The servers that a conninfo (or the environment, where it names none) lists, in the order in which they are tried;
/// one that leaves all as it is when there is no list. libpq itself would wait for the first one that stays silent as
/// long as all of them together are given. With "prefer-standby" each is asked whether it is a standby first.
/// The conninfo must be one that libpq can read.
std::vector<ServerPlace> places_of(const std::string& conninfo);

}  // namespace tailrace::postgres
