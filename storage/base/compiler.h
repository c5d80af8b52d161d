/*
 * The attributes and builtins this code base uses, under one spelling for gcc
 * and clang. Everything else is ISO C17. Include instead of <assert.h>.
 */
#ifndef STORAGE_BASE_COMPILER_H
#define STORAGE_BASE_COMPILER_H

#include <assert.h>

#include "storage/include/ldb_types.h"

#define LDB_LIKELY(x)   __builtin_expect(!!(x), 1)
#define LDB_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* For a function that a constant argument makes into several. */
#define LDB_ALWAYS_INLINE __attribute__((always_inline))
/* For one that a hot function is to have nothing of but the call. */
#define LDB_NEVER_INLINE __attribute__((noinline))

/* The function may use this instruction set; callers ask LDB_CPU_HAS first. */
#if defined(__x86_64__)
#define LDB_TARGET(isa)  __attribute__((target(isa)))
#define LDB_CPU_HAS(isa) __builtin_cpu_supports(isa)
#endif

/* Between two looks at what another thread is about to change. */
#if defined(__x86_64__)
#define LDB_SPIN_PAUSE() __builtin_ia32_pause()
#else
#define LDB_SPIN_PAUSE() ((void)0)
#endif

/*
 * Drops a result that must be looked at: say beside it why it may be. (gcc
 * takes no cast to void for it.)
 */
#define LDB_IGNORE(call) ((void)!(call))

/* clang proves lock discipline with these (-Wthread-safety); gcc ignores. */
#if defined(__clang__)
#define LDB_THREAD(x) __attribute__((x))
#else
#define LDB_THREAD(x)
#endif
#define LDB_CAPABILITY(name) LDB_THREAD(capability(name))
#define LDB_REQUIRES(...)    LDB_THREAD(requires_capability(__VA_ARGS__))
#define LDB_ACQUIRE(...)     LDB_THREAD(acquire_capability(__VA_ARGS__))
#define LDB_RELEASE(...)     LDB_THREAD(release_capability(__VA_ARGS__))
#define LDB_EXCLUDES(...)    LDB_THREAD(locks_excluded(__VA_ARGS__))
#define LDB_NO_THREAD_SAFETY LDB_THREAD(no_thread_safety_analysis)

/*
 * assert() stays on in release builds. assert_slow() is for loops measured as
 * hot and is on in Debug builds alone.
 */
#ifdef LDB_ASSERT_SLOW
#define assert_slow(x) assert(x)
#else
#define assert_slow(x) ((void)0)
#endif

#endif
