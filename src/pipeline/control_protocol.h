#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "pipeline/spec.h"

/// The lines that go over the control socket. Answers are objects with exactly one of "piece" (so many bytes of a
/// streamed answer follow the line; more follows), "done" (the last line) and "error" (the last line).
namespace tailrace::pipeline {

std::string error_line(const Error& error);
std::string piece_line(std::size_t bytes);
std::string done_line(const nlohmann::json& answer);
/// Throws, as it was thrown on the other side, what an error_line holds.
[[noreturn]] void throw_error(const nlohmann::json& error);

/// "table", "csv", "json", "jsonl", "parquet". Throws BadConfigError TR202; empty means table.
QueryFormat parse_format(const std::string& name);
const char* name_of(QueryFormat format);

}  // namespace tailrace::pipeline
