#pragma once

#include <string>
#include <utility>

#include "sinks/lake/compression.h"
#include "sinks/lake/file_form.h"

namespace tailrace::lake {

/// A whole file of text as its codec has it.
inline std::string encoded(std::string text, Codec codec) {
  if (codec == Codec::kGzip) return gzipped(text);
  if (codec == Codec::kZstd) return zstd_compressed(text);
  return text;
}

}  // namespace tailrace::lake
