/*
 * What was decided about this node's role while it ran, kept in leveld/role:
 * a promotion, a demotion, another leader. A restart goes by it as long as the
 * flags name what they named then; once they name something else they win, and
 * the file goes.
 *
 * A promotion is decided once it is stored here, before the folder is opened to
 * lead: whatever happens then, its epoch begins above the floor, and files are
 * numbered above theirs. The file says so until that is done.
 *
 * Thread-safety: plain values.
 */
#ifndef REPLICATION_ROLE_FILE_H
#define REPLICATION_ROLE_FILE_H

#include "replication/protocol.h"

/* Of its file in leveld/ (sidecar.h). */
#define REPL_ROLE_FILE    "role"
#define REPL_ROLE_VERSION 1

struct repl_assignment {
    enum repl_role role;
    char leader_url[REPL_URL_SIZE]; /* of a follower; "": nobody yet */
};

struct repl_role_file {
    struct repl_assignment now;
    struct repl_assignment configured; /* what the flags said */
    bool is_promotion_open;
    struct repl_epoch_floor epoch_floor; /* open: of the epoch, */
    uint64_t file_floor;                 /* and of numbers of files */
};

/* Whether the text can be stored: no blank, no control character, short
 * enough. */
bool repl_role_url_is_storable(const char *url);

/* The URL without a slash at its end, cut at the size: so that one node has one
 * spelling. */
void repl_role_url_copy(const char *url, char out[REPL_URL_SIZE]);

/* Errors: NOT_FOUND: nothing was decided; those of repl_sidecar_read(). */
LDB_MUST_CHECK enum ldb_status repl_role_file_load(struct ldb_env *env,
                                                   const char *dir,
                                                   struct ldb_error *err,
                                                   struct repl_role_file *out);

/* Durable when OK. DIR/leveld is there. INVALID_ARGUMENT: a URL that is not
 * storable. */
LDB_MUST_CHECK enum ldb_status
repl_role_file_store(struct ldb_env *env, const char *dir,
                     const struct repl_role_file *file, struct ldb_error *err);

/* Durably gone when OK. */
LDB_MUST_CHECK enum ldb_status repl_role_file_remove(struct ldb_env *env,
                                                     const char *dir,
                                                     struct ldb_error *err);

/*
 * What to begin with, by the flags and the file of dir: *out_kept tells that
 * the file won. A file that lost is removed, but for one with an open
 * promotion, which wins always: its epoch may have begun.
 *
 * out->configured is what the flags say. Errors: those of load and remove.
 */
LDB_MUST_CHECK enum ldb_status
repl_role_decide(struct ldb_env *env, const char *dir,
                 const struct repl_assignment *configured,
                 struct ldb_error *err, struct repl_role_file *out,
                 bool *out_kept);

#endif
