# tests/interop/public_api/NAME.c with the public headers alone, linked with
# libleveld.so: the CTest case interop/public_api/NAME.

file(GLOB public_api_sources CONFIGURE_DEPENDS
    "${PROJECT_SOURCE_DIR}/tests/interop/public_api/*.c")
foreach(source ${public_api_sources})
    get_filename_component(name "${source}" NAME_WE)
    add_executable(public_api_${name} "${source}")
    target_include_directories(public_api_${name} PRIVATE
        "${PROJECT_SOURCE_DIR}/storage/include")
    target_link_libraries(public_api_${name} PRIVATE
        leveld_shared leveld_warnings ${CMOCKA_LIBRARY})
    target_compile_definitions(public_api_${name} PRIVATE _GNU_SOURCE)
    set_target_properties(public_api_${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
    add_test(NAME interop/public_api/${name} COMMAND public_api_${name})
    set_tests_properties(interop/public_api/${name} PROPERTIES
        ENVIRONMENT "${LEVELD_TEST_ENVIRONMENT}"
        LABELS interop
        TIMEOUT ${LEVELD_SHORT})
endforeach()
