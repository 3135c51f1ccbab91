# One place for warnings, sanitizers and how a room (folder) becomes a target.

add_library(attend_flags INTERFACE)
target_include_directories(attend_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(attend_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wno-unused-parameter)
if(ATTEND_SANITIZE)
  target_compile_options(attend_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer -g1)
  target_link_options(attend_flags INTERFACE -fsanitize=address,undefined)
endif()

# attend_library(NAME SOURCES ... DEPS ...): the static library of one room.
function(attend_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC attend_flags ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
endfunction()

# attend_test(NAME SOURCES ... DEPS ...): one GoogleTest program; each TEST is a ctest of its own.
# Programs named in LABELS "unit" also run under the sanitizers.
function(attend_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE attend_flags ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE ATTEND_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 300)
endfunction()
