#pragma once

#include <memory>
#include <string>

#include "sinks/duckdb/sink_state.h"
#include "sinks/duckdb/target_check.h"

namespace tailrace::duckdb {

/// "a" TYPE, "b" TYPE, …: the columns of a mirrored table as CREATE TABLE wants them.
std::string column_list(const TableShape& shape);

/// Appends one reader's rows to the table at `place`, in transactions of its own; rows that the target cannot hold
/// become letters. For the thread that made it; keeps the file open.
std::unique_ptr<sinks::CopyWriter> make_copy_writer(const std::shared_ptr<Database>& database, const TableShape& shape,
                                                    const TableName& place, sinks::LetterBox& letters,
                                                    MemoryBudget& memory, FaultCount& faults);

}  // namespace tailrace::duckdb
