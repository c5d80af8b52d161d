/*
 * Files and directories in RAM, each with two states: the live one, which
 * everybody sees, and the durable one, which a power loss would leave. A file
 * becomes durable by its sync, the names in a directory by that of the
 * directory. env_memory.c makes a file system of them.
 *
 * Thread-safety: none; env_memory.c holds its lock. No function logs or fills
 * an error: the caller knows the path.
 */
#ifndef STORAGE_BASE_MEMORY_NODE_H
#define STORAGE_BASE_MEMORY_NODE_H

#include "storage/base/buf.h"

struct ldb_memory_node;

/* A name in a directory; both owned, the node by a reference. */
struct ldb_memory_entry {
    char *name;
    struct ldb_memory_node *node;
};

/* Sorted by name. */
struct ldb_memory_entries {
    struct ldb_memory_entry *items;
    size_t count;
    size_t capacity;
};

/*
 * One step of a directory, atomic on disk: a name set to a node, a name
 * removed, or both (a rename).
 */
struct ldb_memory_change {
    char *set_name;    /* NULL: none */
    char *live_name;   /* its copy for the live entry; NULL once committed */
    char *remove_name; /* NULL: none */
    struct ldb_memory_node *node; /* of set_name; owned by a reference */
};

struct ldb_memory_node {
    size_t refs; /* entries, changes and open handles */
    bool is_dir;

    /* A file. Bytes below stable_len are on disk as they are here. */
    struct ldb_buf bytes;
    size_t stable_len;
    bool was_cut;        /* below stable_len, since the last sync: then */
    struct ldb_buf cut;  /* this is what the disk has */
    size_t reader_count; /* who hold its lock */
    bool has_writer;

    /* A directory. durable plus all changes is live. */
    struct ldb_memory_entries live;
    struct ldb_memory_entries durable;
    struct ldb_memory_change *changes; /* since the last sync, in order */
    size_t change_count;
    size_t change_capacity;

    struct ldb_memory_node *next; /* in a list of work under way */
    struct ldb_memory_node *copy; /* of this one, while copying */
};

/* An empty one with one reference, the caller's; NULL on no memory. */
LDB_MUST_CHECK struct ldb_memory_node *ldb_memory_node_create(bool is_dir);

struct ldb_memory_node *ldb_memory_node_ref(struct ldb_memory_node *node);

/* The last one frees the node and gives up what it holds. NULL is fine. */
void ldb_memory_node_unref(struct ldb_memory_node *node);

/* ---- files ---- */

/* NO_MEMORY: nothing was appended. */
LDB_MUST_CHECK enum ldb_status
ldb_memory_file_append(struct ldb_memory_node *file, struct ldb_slice bytes);

/* len <= the file's length. NO_MEMORY: nothing was cut. */
LDB_MUST_CHECK enum ldb_status
ldb_memory_file_truncate(struct ldb_memory_node *file, size_t len);

void ldb_memory_file_sync(struct ldb_memory_node *file);

/* ---- directories ---- */

/* The live node of that name, borrowed; NULL when there is none. */
struct ldb_memory_node *ldb_memory_dir_find(const struct ldb_memory_node *dir,
                                            struct ldb_slice name);

/*
 * Makes all room that a change of dir needs. set_name and remove_name may be
 * empty: none. To be committed, or released, before any other call on dir.
 */
LDB_MUST_CHECK enum ldb_status ldb_memory_change_prepare(
    struct ldb_memory_node *dir, struct ldb_slice set_name,
    struct ldb_memory_node *node, struct ldb_slice remove_name,
    struct ldb_memory_change *out);

/* A zeroed one is fine. */
void ldb_memory_change_release(struct ldb_memory_change *change);

/* Takes over the change; cannot fail. */
void ldb_memory_change_commit(struct ldb_memory_node *dir,
                              struct ldb_memory_change *change);

/* NO_MEMORY: nothing became durable. */
LDB_MUST_CHECK enum ldb_status ldb_memory_dir_sync(struct ldb_memory_node *dir);

/* ---- power loss ---- */

enum ldb_crash_keep {
    LDB_CRASH_KEEP_NONE, /* durable bytes and names alone */
    LDB_CRASH_KEEP_ALL,  /* everything, as after kill -9 */
    /*
     * By chance: of each file the durable bytes and a prefix of those after
     * (a cut done or not), of each directory a prefix of its changes.
     */
    LDB_CRASH_KEEP_TORN,
};

/*
 * A tree, all of it durable, of what a power loss would leave of the one below
 * root; files with two names stay so. The same seed gives the same choices.
 */
LDB_MUST_CHECK enum ldb_status
ldb_memory_crash_copy(struct ldb_memory_node *root, enum ldb_crash_keep keep,
                      uint64_t seed, struct ldb_memory_node **out_root);

#endif
