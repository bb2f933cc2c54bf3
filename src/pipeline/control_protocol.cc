#include "pipeline/control_protocol.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

namespace tailrace::pipeline {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::pair<const char*, QueryFormat>, 5> kFormats = {{{"table", QueryFormat::kTable},
                                                                          {"csv", QueryFormat::kCsv},
                                                                          {"json", QueryFormat::kJson},
                                                                          {"jsonl", QueryFormat::kJsonLines},
                                                                          {"parquet", QueryFormat::kParquet}}};

std::string line_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

std::string error_line(const Error& error) {
  return line_of({{"error",
                   {{"code", error.code()},
                    {"what", error.what()},
                    {"remedy", error.remedy()},
                    {"exit", static_cast<int>(error.exit_code())}}}});
}

std::string piece_line(std::size_t bytes) { return line_of({{"piece", bytes}}); }

std::string done_line(const Json& answer) { return line_of({{"done", answer}}); }

void throw_error(const Json& error) {
  const std::string code = error.value("code", "TR900");
  const std::string what = error.value("what", "");
  const std::string remedy = error.value("remedy", "");
  switch (static_cast<ExitCode>(error.value("exit", 70))) {
    case ExitCode::kAnswerIsNo: throw AnswerIsNo(code, what, remedy);
    case ExitCode::kBadRequest: throw BadConfigError(code, what, remedy);
    case ExitCode::kUnreachable: throw RefusedError(code, what, remedy);
    case ExitCode::kTimeout: throw TimeoutError(code, what, remedy);
    case ExitCode::kDamaged: throw CorruptionError(code, what, remedy);
    case ExitCode::kDone:
    case ExitCode::kDefect: break;
  }
  throw DefectError(what);
}

QueryFormat parse_format(const std::string& name) {
  if (name.empty()) return QueryFormat::kTable;
  for (const auto& [word, format] : kFormats) {
    if (name == word) return format;
  }
  throw BadConfigError("TR202", "this is no format", "one of table, csv, json, jsonl, parquet");
}

const char* name_of(QueryFormat format) {
  for (const auto& [word, other] : kFormats) {
    if (format == other) return word;
  }
  return "table";
}

}  // namespace tailrace::pipeline
