#include "sources/postgres/server_place.h"

#include <libpq-fe.h>

#include <algorithm>
#include <memory>
#include <string_view>

namespace tailrace::postgres {
namespace {

using Options = std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)>;

std::string value_in(const Options& options, std::string_view name) {
  for (const PQconninfoOption* option = options.get(); option != nullptr && option->keyword != nullptr; ++option)
    if (option->keyword == name && option->val != nullptr) return option->val;
  return {};
}

std::vector<std::string> parts_of(std::string_view list) {
  std::vector<std::string> parts;
  while (true) {
    const auto comma = list.find(',');
    parts.emplace_back(list.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    list.remove_prefix(comma + 1);
  }
}

/// A list of one counts for all.
const std::string& nth(const std::vector<std::string>& parts, std::size_t n) {
  return parts.size() == 1 ? parts.front() : parts.at(n);
}

}  // namespace

std::vector<ServerPlace> places_of(const std::string& conninfo) {
  const Options given(PQconninfoParse(conninfo.c_str(), nullptr), PQconninfoFree);
  const Options defaults(PQconndefaults(), PQconninfoFree);
  const auto value = [&](std::string_view name) {
    const std::string own = value_in(given, name);
    return own.empty() ? value_in(defaults, name) : own;
  };
  const std::vector<std::string> hosts = parts_of(value("host"));
  const std::vector<std::string> addresses = parts_of(value("hostaddr"));
  const std::vector<std::string> ports = parts_of(value("port"));
  const std::size_t count = std::max(hosts.size(), addresses.size());
  const auto fits = [count](const std::vector<std::string>& parts) {
    return parts.size() == 1 || parts.size() == count;
  };
  // Lists that do not fit together libpq refuses with the reason.
  if (count == 1 || !fits(hosts) || !fits(addresses) || !fits(ports)) return {ServerPlace()};
  std::vector<ServerPlace> places;
  for (std::size_t i = 0; i < count; ++i)
    places.push_back({nth(hosts, i), nth(addresses, i), nth(ports, i), std::string()});
  if (value("target_session_attrs") != "prefer-standby") return places;
  for (ServerPlace& place : places) place.target_session_attrs = "standby";
  for (std::size_t i = 0; i < count; ++i) {
    places.push_back(places[i]);
    places.back().target_session_attrs = "any";
  }
  return places;
}

}  // namespace tailrace::postgres
