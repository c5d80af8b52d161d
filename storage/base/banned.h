/*
 * Functions that do not compile in this project: unbounded, locale-bound or
 * replaced by ours. Forced into every source file by the build (-include),
 * after the system headers it names.
 */
#ifndef STORAGE_BASE_BANNED_H
#define STORAGE_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A macro in <alloca.h>; gcc and clang warn when a macro is poisoned. */
#undef alloca

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok
#pragma GCC poison atoi atol atof gmtime localtime ctime asctime alloca

#endif
