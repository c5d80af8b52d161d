# add_unit_test(FILE): tests/a/test_b.c becomes the CTest case a/test_b.
# add_fuzz_target(FILE): fuzz/fuzz_b.c becomes fuzz_b; without libFuzzer it
# runs over fuzz/corpus/b once, as the CTest case fuzz/b.

set(LEVELD_TEST_ENVIRONMENT
    "LEVELD_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/leveld"
    "LEVELD_ORACLE_DIR=${PROJECT_SOURCE_DIR}/tests/interop/oracle/bin"
    "LEVELD_SOURCE_DIR=${PROJECT_SOURCE_DIR}"
    "ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:allocator_may_return_null=1"
    "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"
    "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1")

# Seconds after which a test hangs: it is not for what is slow, as a sanitizer
# build on a busy machine is, and more than a test itself waits for anything
# (tests/support/patience.h). Tests that start processes or walk many files (CI
# runs them at full length) get the longer one.
set(LEVELD_SHORT 600)
if(SANITIZE)
    set(LEVELD_SHORT 1200)
endif()
set(LEVELD_LONG 1800)
set(LEVELD_LONG_TESTS "^(e2e|interop|fault|crash|property|sim)/")

# These begin first, so that none is left to run alone at the end: all that may
# be long, and of them, by seconds measured in dev, the longest.
set(LEVELD_LONGEST_TESTS
    e2e/test_cuts fault/test_fail_each_allocation crash/test_crash_states
    e2e/test_bytes fault/test_fail_each_call e2e/test_hostile_http
    e2e/test_slow_clients interop/test_profiles e2e/test_kill
    interop/test_repair)

function(set_length name)
    if(name MATCHES "${LEVELD_LONG_TESTS}")
        set_tests_properties("${name}" PROPERTIES
            TIMEOUT ${LEVELD_LONG} COST 10)
    endif()
    if(name IN_LIST LEVELD_LONGEST_TESTS)
        set_tests_properties("${name}" PROPERTIES COST 100)
    endif()
endfunction()

function(add_unit_test file)
    file(RELATIVE_PATH path "${PROJECT_SOURCE_DIR}/tests" "${file}")
    string(REGEX REPLACE "\\.c$" "" name "${path}")
    string(REPLACE "/" "_" target "t_${name}")
    string(REGEX REPLACE "/.*" "" label "${name}")

    add_executable(${target} "${file}")
    target_link_libraries(${target} PRIVATE
        test_support svc api repl leveld_static leveld_flags
        ${CMOCKA_LIBRARY})
    set_target_properties(${target} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
    if(TARGET leveld)
        add_dependencies(${target} leveld)
    endif()

    add_test(NAME "${name}" COMMAND ${target}
        WORKING_DIRECTORY "${PROJECT_BINARY_DIR}")
    set_tests_properties("${name}" PROPERTIES
        ENVIRONMENT "${LEVELD_TEST_ENVIRONMENT}"
        LABELS "${label}"
        TIMEOUT ${LEVELD_SHORT})
    set_length("${name}")
endfunction()

function(add_fuzz_target file)
    get_filename_component(target "${file}" NAME_WE)
    string(REGEX REPLACE "^fuzz_" "" name "${target}")
    set(corpus "${PROJECT_SOURCE_DIR}/fuzz/corpus/${name}")

    add_executable(${target} "${file}")
    target_link_libraries(${target} PRIVATE
        svc api repl leveld_static leveld_flags)
    if(FUZZ)
        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    else()
        target_sources(${target} PRIVATE
            "${PROJECT_SOURCE_DIR}/fuzz/fuzz_main.c")
        add_test(NAME "fuzz/${name}" COMMAND ${target} "${corpus}")
        set_tests_properties("fuzz/${name}" PROPERTIES
            ENVIRONMENT "${LEVELD_TEST_ENVIRONMENT}"
            LABELS fuzz
            TIMEOUT ${LEVELD_SHORT})
    endif()
endfunction()

# add_script_test(NAME COMMAND...): exit code 77 means skipped, with the reason
# on a line that starts with "skip:".
function(add_script_test name)
    string(REGEX REPLACE "/.*" "" label "${name}")
    add_test(NAME "${name}" COMMAND ${ARGN}
        WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    set_tests_properties("${name}" PROPERTIES
        ENVIRONMENT "${LEVELD_TEST_ENVIRONMENT}"
        LABELS "${label}"
        SKIP_RETURN_CODE 77
        TIMEOUT ${LEVELD_SHORT})
    set_length("${name}")
endfunction()

# add_python_test(FILE): tests/e2e/test_b.py becomes the CTest case e2e/test_b.
function(add_python_test file)
    file(RELATIVE_PATH path "${PROJECT_SOURCE_DIR}/tests" "${file}")
    string(REGEX REPLACE "\\.py$" "" name "${path}")
    add_script_test("${name}" ${PYTHON3} "${file}")
endfunction()
