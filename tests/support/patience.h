/*
 * How long a test waits for what has to come before it says that it does not.
 * CI runs tests side by side on two cores, and under sanitizers: a thread may
 * be held up for long with nothing wrong, so no wait is shorter for what takes
 * a moment when all is well. Less than what ctest allows (cmake/test.cmake), so
 * that the test itself tells what it has waited for. tests/support/leveld.py
 * has the same for tests of processes.
 */
#ifndef TESTS_SUPPORT_PATIENCE_H
#define TESTS_SUPPORT_PATIENCE_H

#include <stdint.h>

#define PATIENCE_S  300
#define PATIENCE_US (UINT64_C(1000000) * PATIENCE_S)

#endif
