# SANITIZE=address,undefined | thread builds everything with these sanitizers.
# FUZZ=ON (clang) adds libFuzzer's coverage hooks to every library.
# COVERAGE=ON (gcc) counts executed lines for gcov.

set(SANITIZE "" CACHE STRING "Comma-separated sanitizers, or empty")
option(FUZZ "Build the fuzz targets for libFuzzer (clang only)" OFF)
option(COVERAGE "Instrument for gcov" OFF)

if(SANITIZE)
    add_compile_options(
        -fsanitize=${SANITIZE} -fno-sanitize-recover=all
        -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${SANITIZE})
endif()

if(FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "FUZZ needs clang: libFuzzer is part of it")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
    add_link_options(-fsanitize=fuzzer-no-link)
endif()

if(COVERAGE)
    add_compile_options(--coverage)
    add_link_options(--coverage)
endif()
