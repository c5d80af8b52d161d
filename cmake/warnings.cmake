# The warning set, per compiler. Every target of ours links leveld_warnings.
# A warning is turned off in one line with a reason, never for a folder.

option(LEVELD_WERROR "Treat warnings as errors" OFF)

add_library(leveld_warnings INTERFACE)
target_compile_options(leveld_warnings INTERFACE
    -Wall
    -Wextra
    -Wpedantic
    -Wconversion
    -Wsign-conversion
    -Wshadow
    -Wstrict-prototypes
    -Wmissing-prototypes
    -Wvla
    -Wundef
    -Wcast-qual
    -Wcast-align
    -Wwrite-strings
    -Wformat=2
    -Wimplicit-fallthrough
    -Wswitch-enum
    -Wnull-dereference)

if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    target_compile_options(leveld_warnings INTERFACE -Wthread-safety)
else()
    target_compile_options(leveld_warnings INTERFACE
        -Wlogical-op -Wduplicated-cond -Wduplicated-branches)
    if(SANITIZE)
        # gcc's instrumentation splits branches in a way that makes its null
        # analysis report paths that cannot run.
        target_compile_options(leveld_warnings INTERFACE -Wno-null-dereference)
    endif()
endif()

if(LEVELD_WERROR)
    target_compile_options(leveld_warnings INTERFACE -Werror)
endif()
