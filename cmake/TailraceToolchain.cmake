# Flags, warnings, sanitizers, linker and compiler cache: all that holds for every target.
# The target tailrace_flags carries them; tailrace_library() links it everywhere.

add_library(tailrace_flags INTERFACE)
target_include_directories(tailrace_flags INTERFACE "${CMAKE_SOURCE_DIR}/src")

target_compile_options(
  tailrace_flags
  INTERFACE -Wall
            -Wextra
            -Werror
            -Wshadow
            -Wnon-virtual-dtor
            -Woverloaded-virtual
            -Wold-style-cast
            -Wcast-qual
            -Wextra-semi
            -Wformat=2
            -Wimplicit-fallthrough
            -Wunused
            -Wvla
            -Wno-missing-field-initializers
            -fno-omit-frame-pointer
            "-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12 reports false -Wrestrict on std::string operations (GCC bug 105651).
  target_compile_options(tailrace_flags INTERFACE -Wduplicated-cond -Wlogical-op -Wno-restrict
                                                  -fdiagnostics-color=auto)
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # std::stable_sort of libstdc++ 12 calls what it itself declares deprecated.
  target_compile_options(tailrace_flags INTERFACE -Wno-deprecated-declarations)
endif()

target_compile_definitions(tailrace_flags
                           INTERFACE TAILRACE_CRASH_POINTS=$<BOOL:${TAILRACE_CRASH_POINTS}>
                                     $<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS>)

if(TAILRACE_SANITIZE)
  target_compile_options(tailrace_flags INTERFACE -fsanitize=${TAILRACE_SANITIZE}
                                                  -fno-sanitize-recover=all)
  target_link_options(tailrace_flags INTERFACE -fsanitize=${TAILRACE_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # The instrumentation hides initialisation from gcc's flow analysis.
    target_compile_options(tailrace_flags INTERFACE -Wno-maybe-uninitialized)
    if(TAILRACE_SANITIZE MATCHES "thread")
      # std::atomic_thread_fence inside the standard library; not instrumented by gcc.
      target_compile_options(tailrace_flags INTERFACE -Wno-tsan)
    endif()
  endif()
endif()

if(TAILRACE_BUILD_FUZZERS)
  target_compile_options(tailrace_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

if(TAILRACE_COVERAGE)
  target_compile_options(tailrace_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(tailrace_flags INTERFACE --coverage)
endif()

find_program(TAILRACE_MOLD mold)
if(TAILRACE_SANITIZE MATCHES "thread")
  # mold exports what a shared library also defines, whatever the version script says.
  target_link_options(tailrace_flags INTERFACE "-Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/tsan.exports")
elseif(TAILRACE_MOLD)
  target_link_options(tailrace_flags INTERFACE -fuse-ld=mold)
endif()
target_link_options(tailrace_flags INTERFACE -Wl,--as-needed)

find_program(TAILRACE_CCACHE ccache)
if(TAILRACE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # With a base directory the cache is shared by all checkouts of the project.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      "${CMAKE_COMMAND}" -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros "${TAILRACE_CCACHE}")
endif()
