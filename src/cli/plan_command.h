#pragma once

#include "cli/frame.h"

namespace tailrace::cli {

void add_plan_command(Frame& frame);

}  // namespace tailrace::cli
