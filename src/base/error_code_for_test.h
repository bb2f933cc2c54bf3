#pragma once

#include <string>

#include "base/error.h"

namespace tailrace {

/// The code of what `throwing` throws; "none" when it returns.
template <typename Throwing>
std::string code_of(const Throwing& throwing) {
  try {
    throwing();
  } catch (const Error& error) {
    return error.code();
  }
  return "none";
}

}  // namespace tailrace
