/*
 * The record that env_crash.c keeps and env_crash_disk.c turns into disks.
 * Private to them.
 */
#ifndef TESTS_SUPPORT_ENV_CRASH_RECORD_H
#define TESTS_SUPPORT_ENV_CRASH_RECORD_H

#include "tests/support/env_crash.h"

enum env_crash_event_kind {
    ENV_CRASH_EVENT_INODE,    /* a new file or directory, without a name */
    ENV_CRASH_EVENT_APPEND,   /* bytes, len */
    ENV_CRASH_EVENT_STORE,    /* bytes, len, into a window at offset */
    ENV_CRASH_EVENT_TRUNCATE, /* len */
    ENV_CRASH_EVENT_SYNC,
    /* remove_name goes and set_name becomes inode's, at once; NULL: none. */
    ENV_CRASH_EVENT_NAMES,
    ENV_CRASH_EVENT_SYNC_DIR, /* set_name: the directory */
};

struct env_crash_event {
    enum env_crash_event_kind kind;
    uint32_t inode; /* from 0 */
    bool is_dir;
    char *set_name;
    char *remove_name;
    uint8_t *bytes;
    uint64_t len;
    uint64_t offset;
};

struct env_crash_record {
    struct env_crash_event *events;
    size_t count;
    size_t adopted; /* the first so many come before position 0 */
};

struct env_crash_name {
    char *path; /* whole */
    uint32_t inode;
};

struct env_crash_names {
    struct env_crash_name *items; /* in no order */
    size_t count;
};

void env_crash_names_change(struct env_crash_names *names,
                            const struct env_crash_event *event);
void env_crash_names_remove(struct env_crash_names *names, const char *path);
/* NULL: none; good until the next change. */
struct env_crash_name *env_crash_names_find(const struct env_crash_names *names,
                                            const char *path);
void env_crash_names_release(struct env_crash_names *names);

/* Borrowed from crash; no thread uses its env. */
const struct env_crash_record *env_crash_record_of(struct env_crash *crash);

#endif
