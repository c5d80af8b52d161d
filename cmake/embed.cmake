cmake_minimum_required(VERSION 3.25) # without, @NAME@ is read as a variable
# Writes the bytes of a file, with the version filled in, as the inside of a C
# array: what api/openapi.c and api/dashboard.c serve. Run when the file changes.
file(READ "${INPUT}" document)
string(REPLACE "@PROJECT_VERSION@" "${PROJECT_VERSION}" document "${document}")
string(HEX "${document}" bytes)
string(REGEX REPLACE "(................................)" "\\1\n" bytes
    "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE "${OUTPUT}" "${bytes}\n")
