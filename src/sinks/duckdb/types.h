#pragma once

#include "model/relation.h"
#include "sinks/duckdb/spec.h"
#include "vectors/arena.h"
#include "vectors/types.h"

namespace tailrace::duckdb {

using vectors::Arena;
using vectors::identifier;
using vectors::literal;
using vectors::Shape;
using vectors::TargetType;

/// The type of a column in the mirror.
TargetType target_type(const ColumnType& type, OnUnrepresentable on_unrepresentable);

}  // namespace tailrace::duckdb
