# tailrace_library(NAME journal [DEPS base model] [PUBLIC_LIBS ...] [PRIVATE_LIBS ...]
#                  [TEST_DEPS ...] [TEST_LIBS ...])
#
# One room of the house, called from the CMakeLists.txt of its folder:
#   - a static library tailrace_<name> from every *.cc here except main.cc and *_test.cc;
#   - a GoogleTest program <name>_test from every *_test.cc here, registered with ctest.
# DEPS are the rooms whose headers this one may include; tools/check_layers.py compares them with the
# #include lines. TEST_DEPS are rooms that only the tests need. *_LIBS are imported targets.
function(tailrace_library)
  cmake_parse_arguments(ARG "" "NAME" "DEPS;PUBLIC_LIBS;PRIVATE_LIBS;TEST_DEPS;TEST_LIBS" ${ARGN})
  if(NOT ARG_NAME OR ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "tailrace_library: NAME is missing or unknown arguments: ${ARG_UNPARSED_ARGUMENTS}")
  endif()

  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cc")
  set(test_sources ${sources})
  list(FILTER test_sources INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cc$")
  list(TRANSFORM ARG_DEPS PREPEND "tailrace::" OUTPUT_VARIABLE deps)
  list(TRANSFORM ARG_TEST_DEPS PREPEND "tailrace::" OUTPUT_VARIABLE test_deps)

  set(target tailrace_${ARG_NAME})
  if(sources)
    add_library(${target} STATIC ${sources})
    set_target_properties(${target} PROPERTIES UNITY_BUILD ${TAILRACE_UNITY} UNITY_BUILD_BATCH_SIZE 8)
    target_link_libraries(${target} PUBLIC tailrace_flags ${deps} ${ARG_PUBLIC_LIBS} PRIVATE ${ARG_PRIVATE_LIBS})
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE tailrace_flags ${deps} ${ARG_PUBLIC_LIBS})
  endif()
  add_library(tailrace::${ARG_NAME} ALIAS ${target})

  if(TAILRACE_BUILD_TESTS AND test_sources)
    set(test ${ARG_NAME}_test)
    add_executable(${test} ${test_sources})
    target_link_libraries(${test} PRIVATE ${target} ${test_deps} ${ARG_TEST_LIBS} GTest::gmock GTest::gtest_main
                                          Threads::Threads)
    gtest_discover_tests(${test} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 120 LABELS unit)
    add_dependencies(unit_tests ${test})
    set_target_properties(${test} PROPERTIES UNITY_BUILD ${TAILRACE_UNITY} UNITY_BUILD_BATCH_SIZE 8)
  endif()
endfunction()

# Builds every unit test program and nothing else.
add_custom_target(unit_tests)

# tailrace_program(NAME tailrace DEPS cli ...): the program made of this folder's main.cc, put into the
# build directory itself.
function(tailrace_program)
  cmake_parse_arguments(ARG "" "NAME" "DEPS" ${ARGN})
  list(TRANSFORM ARG_DEPS PREPEND "tailrace::")
  add_executable(${ARG_NAME} main.cc)
  target_link_libraries(${ARG_NAME} PRIVATE tailrace_flags ${ARG_DEPS})
endfunction()
