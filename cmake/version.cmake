# Writes service/version.h from service/version.h.in with the version and the
# commit; leaves the file alone when nothing changed. Run at each build. Where
# git is not, as in an image's build, the commit is what LEVELD_COMMIT says.
set(PROJECT_COMMIT "unknown")
if(NOT "$ENV{LEVELD_COMMIT}" STREQUAL "")
    set(PROJECT_COMMIT "$ENV{LEVELD_COMMIT}")
endif()
execute_process(
    COMMAND git -C "${SOURCE_DIR}" rev-parse --short=12 HEAD
    OUTPUT_VARIABLE commit
    OUTPUT_STRIP_TRAILING_WHITESPACE
    ERROR_QUIET
    RESULT_VARIABLE result)
if(result EQUAL 0)
    set(PROJECT_COMMIT "${commit}")
endif()
configure_file("${SOURCE_DIR}/service/version.h.in" "${OUTPUT}" @ONLY)
