/*
 * Files of this folder as other nodes may read them: journals, also those in
 * the archive, the MANIFEST, and tables. Of a file that still grows there are
 * only the bytes that are durable here: so a power cut never leaves a follower
 * ahead of its leader. What is shown once never changes.
 *
 * Who has read all that there is waits without a thread: he is called when the
 * durable position moves, and a few times a second besides, for what moves
 * without it: the end of a journal, and the MANIFEST, whose edits come from
 * flushes and compactions. Nobody looks at a file that nobody waits for.
 *
 * A file that is open can be read to its end whatever becomes of its name. It
 * ends early only when it can grow no more under its name: a MANIFEST that
 * another one has replaced, or a journal that went without being sealed.
 *
 * Thread-safety: the set is any thread's; a file has one caller at a time, but
 * for its wake, which runs on any thread.
 */
#ifndef REPLICATION_SERVED_FILE_H
#define REPLICATION_SERVED_FILE_H

#include "storage/include/ldb.h"
#include "storage/version/file_names.h"

struct ldb_env;
struct repl_checkpoints;
struct repl_served_file;
struct repl_served_files;

/*
 * db is open until destroy. checkpoints (borrowed; NULL: none) have tables that
 * the current version does not name any more. dir is copied.
 *
 * Errors: READ_ONLY: db keeps no list of its journals; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_served_files_create(struct ldb_db *db, struct ldb_env *env,
                         const char *dir, struct repl_checkpoints *checkpoints,
                         struct ldb_error *err, struct repl_served_files **out);
/* The same of a twin, which has tables alone to show: to who lost his own. Its
 * journals and MANIFEST are its leader's. Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_served_files_create_twin(struct ldb_db *db, struct ldb_env *env,
                              const char *dir, struct ldb_error *err,
                              struct repl_served_files **out);
/* No file is open. NULL is fine. */
void repl_served_files_destroy(struct repl_served_files *files);

/* The durable position has moved: looks after those that wait. Does not block.
 */
void repl_served_files_durable(struct repl_served_files *files);
/* The same for what moves without it; a few times a second. */
void repl_served_files_tick(struct repl_served_files *files);
/* No file grows any more for who waits: all are woken, and nobody waits. */
void repl_served_files_end(struct repl_served_files *files);

/* Files open at once; each takes a file descriptor. Chosen: some for each
 * follower that there may be. */
#define REPL_SERVED_FILES_MAX 1024

struct repl_served_figures {
    uint64_t open;         /* files, now */
    uint64_t waiting;      /* of them: all that there is was read */
    uint64_t opened_total; /* since create, as is the rest */
    uint64_t bytes_total;  /* given out */
};
void repl_served_files_figures(struct repl_served_files *files,
                               struct repl_served_figures *out);

/* ---- one file ---- */

/* How a file is just now. */
struct repl_served_head {
    enum ldb_file_type type; /* JOURNAL, MANIFEST, TABLE, TABLE_SST */
    uint64_t number;
    uint64_t len;   /* bytes that may be read now */
    bool is_sealed; /* and there will never be more */
    /* Neither sealed nor growing: no more will come of it under this name. */
    bool is_over;
};

/*
 * The file of that name, by which a journal is pinned. Nothing is opened on
 * disk before it is sought in.
 *
 * Errors: NOT_FOUND: there is none, any more, or none that others may read;
 * CORRUPTION: a table has another length than its version says; CLOSED: after
 * end; STALLED: as many are open as may be; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_served_file_open(struct repl_served_files *files, struct ldb_slice name,
                      struct ldb_error *err, struct repl_served_file **out);
/* Also ends a wait: wake is not called once this has returned. NULL is fine. */
void repl_served_file_close(struct repl_served_file *file);

/* NUL-terminated; the file's own. */
const char *repl_served_file_name(const struct repl_served_file *file);

/* The next byte that is read. */
uint64_t repl_served_file_at(const struct repl_served_file *file);

/* Looks anew. */
void repl_served_file_head(struct repl_served_file *file,
                           struct repl_served_head *out);

/*
 * The next read begins at that byte, which does not lie before the last one.
 *
 * Errors: INVALID_ARGUMENT: it lies behind the end; NOT_FOUND: the file has
 * gone just now; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_served_file_seek(struct repl_served_file *file, uint64_t from,
                      struct ldb_error *err);

/*
 * The next bytes, up to max; *out_len 0: there are none now, and the head says
 * whether there will be. After seek.
 *
 * Errors: CORRUPTION: the file is shorter than it should be; IO.
 */
LDB_MUST_CHECK enum ldb_status
repl_served_file_read(struct repl_served_file *file, size_t max, uint8_t *out,
                      struct ldb_error *err, size_t *out_len);

/*
 * All was read: wake(context) is called once, from any thread, when it is worth
 * while to look again; it must not block, nor call anything here. False: it is
 * so now: there is more, or no more will come. While a file is open that has
 * waited, the engine has its durable position watched.
 */
LDB_MUST_CHECK bool repl_served_file_wait(struct repl_served_file *file,
                                          void (*wake)(void *context),
                                          void *context);

#endif
