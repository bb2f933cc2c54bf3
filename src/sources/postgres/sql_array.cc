#include "sources/postgres/sql_array.h"

namespace tailrace::postgres {

std::string oid_array(const std::vector<Oid>& oids) {
  std::string out = "{";
  for (const Oid oid : oids) {
    if (out.size() > 1) out += ',';
    out += std::to_string(oid.value());
  }
  return out + '}';
}

std::string text_array(const std::vector<std::string>& texts) {
  std::string out = "{";
  for (const std::string& text : texts) {
    out += out.size() > 1 ? ",\"" : "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out + '}';
}

}  // namespace tailrace::postgres
