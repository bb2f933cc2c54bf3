#pragma once

#include <string>
#include <string_view>

namespace tailrace::postgres {

class Connection;

/// Why a text that a user gave cannot stand as a condition between parentheses in a statement of ours, as the end of a
/// sentence; empty when it can. It keeps inside its parentheses: what it opens it closes, and no statement ends in it.
/// Whether it means anything the server says.
std::string flaw_of_condition(std::string_view text);

/// Throws BadConfigError TR642 where the text is no condition on the rows of that table. It is not evaluated on any
/// row.
void check_condition(Connection& sql, const std::string& schema, const std::string& table, const std::string& where);

/// The words of whoever looks at the condition: "TR642" with `why`.
[[noreturn]] void refuse_condition(const std::string& table, const std::string& why);

}  // namespace tailrace::postgres
