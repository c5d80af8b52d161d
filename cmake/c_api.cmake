# tests/interop/c_api/program.c with LevelDB's own header, linked with each
# library: c_api_static, c_api_shared, c_api_leveldb. Without libleveldb-dev
# none is built, and tests/interop/test_leveldb_c_api says so.

find_path(LEVELDB_INCLUDE leveldb/c.h)
find_library(LEVELDB_LIBRARY leveldb)
if(LEVELDB_INCLUDE AND LEVELDB_LIBRARY)
    set(c_api "${PROJECT_SOURCE_DIR}/tests/interop/c_api")
    foreach(kind static shared leveldb)
        add_executable(c_api_${kind} "${c_api}/program.c")
        # Not ours: leveld_flags would put our header before LevelDB's.
        target_compile_definitions(c_api_${kind} PRIVATE _GNU_SOURCE)
        target_include_directories(c_api_${kind} PRIVATE "${LEVELDB_INCLUDE}")
        set_target_properties(c_api_${kind} PROPERTIES
            RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
    endforeach()
    target_link_libraries(c_api_static PRIVATE leveld_static)
    target_link_libraries(c_api_shared PRIVATE leveld_shared)
    target_link_libraries(c_api_leveldb PRIVATE ${LEVELDB_LIBRARY})

    add_library(c_api_prototypes OBJECT "${c_api}/prototypes.c")
    target_include_directories(c_api_prototypes PRIVATE
        "${LEVELDB_INCLUDE}" "${PROJECT_SOURCE_DIR}")
endif()
