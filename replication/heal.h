/*
 * Heals damaged tables of an open database, one after the other, on a thread of
 * its own: whoever meets damage says which table it was (a scrub, a read, a
 * compaction), and it is looked at, and fetched from the first other node that
 * has a sound copy (heal_table.h), while the database serves. Until then who
 * reads what is damaged gets an error, and never other bytes.
 *
 * A table that nobody has a sound copy of stays as it is, damaged, and is tried
 * again, after a second at first and after a minute at last, as long as a
 * version names it. One that reads well, and is suspected again and again, is
 * looked at no more often.
 *
 * Thread-safety: any thread, but create and destroy.
 */
#ifndef REPLICATION_HEAL_H
#define REPLICATION_HEAL_H

#include "replication/protocol.h"
#include "replication/transport.h"

struct ldb_comparator;
struct repl_digest_index;
struct repl_heal;

/* Nodes that are asked for one table, at most. Chosen: more than have it. */
#define REPL_HEAL_SOURCES_MAX 16

/* Tables at once that are suspected or damaged. Chosen: a disk that has more of
 * them is to be replaced; those beyond are found again. */
#define REPL_HEAL_TABLES_MAX 1024

enum repl_heal_event_kind {
    REPL_HEAL_FOUND,  /* a table is damaged */
    REPL_HEAL_HEALED, /* it is whole again */
    REPL_HEAL_FAILED, /* no node gave a sound copy; it will be tried again */
    REPL_HEAL_OVER,   /* no version needs it any more, or it reads well now */
};

struct repl_heal_event {
    enum repl_heal_event_kind kind;
    uint64_t number;
    const char *name;            /* of its file */
    const char *source;          /* URL of who was asked last; "": nobody */
    const struct ldb_error *why; /* FOUND, FAILED; else NULL */
    bool is_news;                /* FAILED: it was not for this before */
};

struct repl_heal_options {
    struct ldb_env *env;                     /* borrowed until destroy, as is */
    struct ldb_db *db;                       /* a leader's or a twin, and */
    struct repl_digest_index *digests;       /* of the folder */
    const char *dir;                         /* the database's; copied */
    const struct ldb_comparator *comparator; /* NULL: bytewise */
    /* URLs of nodes that may have this node's tables, the best first; returns
     * how many. On heal's thread, as are the two below. */
    size_t (*sources)(void *context, char (*out)[REPL_URL_SIZE], size_t max);
    /* The node at url, to be let go of with close. */
    enum ldb_status (*open)(void *context, const char *url,
                            struct ldb_error *err, struct repl_peer **out);
    void (*close)(void *context, struct repl_peer *peer);
    /* NULL: nobody is told. No lock is held. */
    void (*on_event)(void *context, const struct repl_heal_event *event);
    void *context;
};

/* DIR/leveld is there. Errors: IO: no thread; NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_heal_create(const struct repl_heal_options *options, struct ldb_error *err,
                 struct repl_heal **out);
/* Ends soon, in the middle of a fetch too. NULL is fine. */
void repl_heal_destroy(struct repl_heal *heal);

/* The table may be damaged. Does not block; again and again is fine. */
void repl_heal_suspect(struct repl_heal *heal, uint64_t number);
/* The same of the first table that a text of the engine names, if any. */
void repl_heal_suspect_in(struct repl_heal *heal, const char *text);

/* Touches no file from the return on until resume: the folder is rebuilt. What
 * is suspected meanwhile is looked at afterwards. */
void repl_heal_pause(struct repl_heal *heal);
void repl_heal_resume(struct repl_heal *heal);

struct repl_heal_figures {
    uint64_t suspected;   /* now, not looked at yet */
    uint64_t damaged;     /* now, and not healed yet */
    uint64_t found_total; /* damaged tables, since create, as is the rest */
    uint64_t healed_total;
    uint64_t failures_total;  /* times that no node gave a sound copy */
    uint64_t discarded_total; /* copies fetched that were not sound */
    uint64_t bytes_total;     /* fetched */
};
void repl_heal_figures(struct repl_heal *heal, struct repl_heal_figures *out);

#endif
