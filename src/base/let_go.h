#pragma once

#include "base/bytes.h"

namespace tailrace {

/// Says that these bytes are not looked at again soon. They keep their contents; those of a mapped file need no memory
/// until then. Worth it from some hundred KiB on.
void let_go(ByteView bytes);

}  // namespace tailrace
