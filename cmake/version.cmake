# Writes service/version.h from service/version.h.in with the version and the
# commit; leaves the file alone when nothing changed. Run at each build.
set(PROJECT_COMMIT "unknown")
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
