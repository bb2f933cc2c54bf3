#pragma once

#include "base/bytes.h"

namespace tailrace {

/// Says that these bytes are not looked at again soon. They keep their contents; those that lie in a file
/// (base/file_bytes.h) need no memory until then, with others nothing happens. Worth it from some hundred KiB on. Any
/// thread.
void let_go(ByteView bytes);

}  // namespace tailrace
