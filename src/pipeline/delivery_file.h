#pragma once

#include <vector>

#include "config/document.h"
#include "config/schema.h"
#include "pipeline/spec.h"

/// What a pipeline file says of a sink beside its kind.
namespace tailrace::pipeline {

/// `batch`, `retry` and `breaker`, for the declaration of a sink.
std::vector<config::FieldDoc> delivery_fields();

/// `sink`: the map that holds the kind. `of_kind`: what holds where it says nothing; a `batch` of its own replaces that
/// of the kind. Throws ConfigError with the place.
Delivery read_delivery(const config::Node& sink, const config::Reading& reading, Delivery of_kind);

}  // namespace tailrace::pipeline
