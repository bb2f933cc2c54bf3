# Imported targets for every library that is not ours. See docs/dependencies.md.

if(NOT TAILRACE_DEPS)
  if(DEFINED ENV{TAILRACE_DEPS})
    set(TAILRACE_DEPS "$ENV{TAILRACE_DEPS}")
  else()
    set(TAILRACE_DEPS "$ENV{HOME}/.cache/tailrace")
  endif()
endif()

find_package(Threads REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CURL REQUIRED)

foreach(library lz4 snappy zstd)
  find_library(TAILRACE_${library} ${library} REQUIRED)
  add_library(${library} SHARED IMPORTED GLOBAL)
  set_target_properties(${library} PROPERTIES IMPORTED_LOCATION "${TAILRACE_${library}}")
endforeach()
find_path(TAILRACE_HIREDIS_INCLUDE hiredis/read.h REQUIRED)
find_library(TAILRACE_HIREDIS hiredis REQUIRED)
add_library(hiredis SHARED IMPORTED GLOBAL)
set_target_properties(hiredis PROPERTIES IMPORTED_LOCATION "${TAILRACE_HIREDIS}"
                                         INTERFACE_INCLUDE_DIRECTORIES "${TAILRACE_HIREDIS_INCLUDE}")

# Zones of time, for names of a lake's files.
find_package(date REQUIRED)

# What files of a lake are compressed with.
find_package(ZLIB REQUIRED)

# CMake's own module also asks for the server's headers, which a client has no use for.
find_path(TAILRACE_LIBPQ_INCLUDE libpq-fe.h PATH_SUFFIXES postgresql REQUIRED)
find_library(TAILRACE_LIBPQ pq REQUIRED)
add_library(PostgreSQL::PostgreSQL SHARED IMPORTED GLOBAL)
set_target_properties(PostgreSQL::PostgreSQL PROPERTIES IMPORTED_LOCATION "${TAILRACE_LIBPQ}"
                                                       INTERFACE_INCLUDE_DIRECTORIES "${TAILRACE_LIBPQ_INCLUDE}")

# cpp-httplib as Debian builds it: a library, with TLS, which the header has to be told.
find_path(TAILRACE_HTTPLIB_INCLUDE httplib.h REQUIRED)
find_library(TAILRACE_HTTPLIB cpp-httplib REQUIRED)
add_library(httplib SHARED IMPORTED GLOBAL)
set_target_properties(
  httplib
  PROPERTIES IMPORTED_LOCATION "${TAILRACE_HTTPLIB}"
             INTERFACE_INCLUDE_DIRECTORIES "${TAILRACE_HTTPLIB_INCLUDE}"
             INTERFACE_COMPILE_DEFINITIONS CPPHTTPLIB_OPENSSL_SUPPORT)

# libduckdb and its header come from tools/bootstrap; their version stands in tools/deps.lock.
file(STRINGS "${CMAKE_SOURCE_DIR}/tools/deps.lock" duckdb_line REGEX "^duckdb[ ]")
string(REGEX MATCH "^duckdb +([0-9.]+)" _ "${duckdb_line}")
set(TAILRACE_DUCKDB_VERSION "${CMAKE_MATCH_1}")
set(TAILRACE_DUCKDB_LIB_DIR "${TAILRACE_DEPS}/duckdb/${TAILRACE_DUCKDB_VERSION}/lib")
if(NOT EXISTS "${TAILRACE_DUCKDB_LIB_DIR}/libduckdb.so")
  message(FATAL_ERROR "libduckdb ${TAILRACE_DUCKDB_VERSION} is not in ${TAILRACE_DUCKDB_LIB_DIR}: run tools/bootstrap")
endif()
add_library(duckdb SHARED IMPORTED GLOBAL)
set_target_properties(
  duckdb
  PROPERTIES IMPORTED_LOCATION "${TAILRACE_DUCKDB_LIB_DIR}/libduckdb.so"
             IMPORTED_SONAME libduckdb.so
             INTERFACE_INCLUDE_DIRECTORIES "${TAILRACE_DEPS}/duckdb/${TAILRACE_DUCKDB_VERSION}/include")

# The binary finds libduckdb beside itself first, then where bootstrap put it.
set(CMAKE_BUILD_RPATH "$ORIGIN" "${TAILRACE_DUCKDB_LIB_DIR}")
set(CMAKE_INSTALL_RPATH "$ORIGIN" "$ORIGIN/../lib")
