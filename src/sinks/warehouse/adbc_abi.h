#pragma once

#include <cstdint>

/// What goes over the border to a driver, as the C data interface of Arrow and ADBC's C API (1.0) lay it down. Drivers
/// are loaded at run time, so that nothing of them is needed to build.
namespace tailrace::warehouse::abi {

struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  std::int64_t flags;
  std::int64_t n_children;
  ArrowSchema** children;
  ArrowSchema* dictionary;
  void (*release)(ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  std::int64_t length;
  std::int64_t null_count;
  std::int64_t offset;
  std::int64_t n_buffers;
  std::int64_t n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};

struct ArrowArrayStream {
  /// These two give an errno.
  int (*get_schema)(ArrowArrayStream*, ArrowSchema* out);
  /// The end: `out->release` is null.
  int (*get_next)(ArrowArrayStream*, ArrowArray* out);
  const char* (*get_last_error)(ArrowArrayStream*);
  void (*release)(ArrowArrayStream*);
  void* private_data;
};

/// What a call gives: 0, or what sort of error it is.
using Status = std::uint8_t;
inline constexpr Status kOk = 0;
inline constexpr Status kIo = 10;
inline constexpr Status kTimeout = 12;
inline constexpr Status kUnauthenticated = 13;
inline constexpr Status kUnauthorized = 14;

struct Error {
  char* message;
  std::int32_t vendor_code;
  char sqlstate[5];
  void (*release)(Error*);
  /// Of API 1.1; not touched while vendor_code does not ask for it.
  void* private_data;
  void* private_driver;
};

struct Database {
  void* private_data;
  void* private_driver;
};

struct Connection {
  void* private_data;
  void* private_driver;
};

struct Statement {
  void* private_data;
  void* private_driver;
};

}  // namespace tailrace::warehouse::abi
