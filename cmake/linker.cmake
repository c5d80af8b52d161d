# Some 280 programs are linked for the tests, each with all of our libraries:
# with lld, where it is installed, in a fraction of the time. Release builds are
# linked as the system does it, those with tests too: they are what is run.

find_program(LLD ld.lld)
mark_as_advanced(LLD)
if(LLD AND CMAKE_BUILD_TYPE STREQUAL "Debug")
    add_link_options(-fuse-ld=lld)
endif()
