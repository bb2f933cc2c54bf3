#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace tailrace {

/// CRC-32C (Castagnoli, reflected 0x82F63B78) of `bytes`, going on from `crc`, the result for what came before
/// (0 to begin). Uses the processor's instruction where there is one.
std::uint32_t crc32c(ByteView bytes, std::uint32_t crc = 0);

}  // namespace tailrace
