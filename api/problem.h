/*
 * Errors as RFC 9457 bodies. The list of types is closed: a new one is a
 * change of the interface (docs/http_api.md).
 *
 * Fill a struct api_problem (start from {.kind = ...}) and answer it, or use
 * one of the shorthands. When there is no memory for the body, the same type
 * goes out with its fixed text and no members: an answer never fails.
 *
 * Thread-safety: the exchange's loop.
 */
#ifndef API_PROBLEM_H
#define API_PROBLEM_H

#include "api/exchange.h"

struct repl_heal;

/* id, name in /problems/<name>, usual status, title */
#define API_PROBLEM_LIST(X)                                                    \
    X(MALFORMED, "malformed", 400, "Malformed request")                        \
    X(BAD_KEY, "bad-key", 400, "Key cannot be decoded")                        \
    X(BAD_BATCH, "bad-batch", 400, "Batch cannot be read")                     \
    X(TOO_LARGE, "too-large", 413, "Over a limit")                             \
    X(NOT_FOUND, "not-found", 404, "Not found")                                \
    X(PRECONDITION_FAILED, "precondition-failed", 412, "Precondition failed")  \
    X(UNAUTHORIZED, "unauthorized", 401, "Credentials needed")                 \
    X(FORBIDDEN, "forbidden", 403, "Not allowed")                              \
    X(METHOD_NOT_ALLOWED, "method-not-allowed", 405, "Method not allowed")     \
    X(NOT_ACCEPTABLE, "not-acceptable", 406, "Not acceptable")                 \
    X(UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", 415,                   \
      "Unsupported media type")                                                \
    X(NOT_LEADER, "not-leader", 421, "Not the leader")                         \
    X(NO_LEADER, "no-leader", 503, "No leader")                                \
    X(LAGGING, "lagging", 503, "Behind the sequence asked for")                \
    X(LOST_SEQUENCE, "lost-sequence", 410, "Sequence was lost")                \
    X(COMPACTED, "compacted", 410, "Sequence no longer retained")              \
    X(EXPIRED, "expired", 410, "Expired")                                      \
    X(CONFLICT, "conflict", 409, "Not possible in this state")                 \
    X(STALLED, "stalled", 503, "Writes are stalled")                           \
    X(OVERLOADED, "overloaded", 503, "Overloaded")                             \
    X(DISK_FULL, "disk-full", 507, "Disk full")                                \
    X(READ_ONLY, "read-only", 503, "Writes have stopped")                      \
    X(CORRUPTION, "corruption", 500, "Damaged data")                           \
    X(REPLICAS_TIMEOUT, "replicas-timeout", 504, "Replicas not reached")       \
    X(OUTCOME_UNKNOWN, "outcome-unknown", 503, "Outcome unknown")              \
    X(INTERNAL, "internal", 500, "Internal error")

enum api_problem_kind {
#define API_PROBLEM_ENUM(id, name, status, title) API_PROBLEM_##id,
    API_PROBLEM_LIST(API_PROBLEM_ENUM)
#undef API_PROBLEM_ENUM
};

#define API_PROBLEM_DETAIL_SIZE 384 /* an ldb_error's message and a prefix */
#define API_PROBLEM_FILE_SIZE   64  /* a file name of the format */

struct api_problem {
    enum api_problem_kind kind;
    unsigned status;                      /* 0: the kind's usual one */
    unsigned retry_after_s;               /* 0: no Retry-After header */
    char detail[API_PROBLEM_DETAIL_SIZE]; /* "": none */

    /* ---- members, written when has_... ---- */
    bool has_index; /* of the condition or operation it is about */
    uint64_t index;
    bool has_key;
    struct ldb_slice key;
    bool has_current; /* the key's sequence; null when absent */
    bool current_exists;
    ldb_sequence current;
    char file[API_PROBLEM_FILE_SIZE]; /* "": none */
    bool has_offset;
    uint64_t offset;
    const char *reason; /* /readyz; NULL: none */
    const char *leader; /* URL; NULL: none */
    bool has_deleted;   /* keys that a range's deletion got to */
    uint64_t deleted;
    bool has_line; /* of a bulk load, from 1 */
    uint64_t line;
    bool has_written; /* what of a bulk load stands */
    ldb_sequence written_sequence;
    uint64_t written_count;
    bool has_replicas; /* followers that have what was written */
    unsigned replicas;
    bool has_oldest; /* changes after it are there */
    ldb_sequence oldest;
    bool has_fork; /* the last write before those that were lost */
    ldb_sequence fork;
};

/* The kind's name as in /problems/<name>, its title and usual status. */
const char *api_problem_name(enum api_problem_kind kind);
const char *api_problem_title(enum api_problem_kind kind);
unsigned api_problem_status(enum api_problem_kind kind);

/* detail of problem, cut at its size. */
void api_problem_detail(struct api_problem *problem, const char *format, ...)
    LDB_PRINTF(2, 3);

/* A read has met damage: the table is looked at, and healed. For what is not
 * answered by the calls below; the caller is inside the gate. NULL is fine. */
void api_problem_tell_damage(struct repl_heal *heal,
                             const struct api_problem *problem);

/* Answers; x has no answer yet. */
void api_answer_problem(struct api_exchange *x,
                        const struct api_problem *problem);

/* The same with nothing but a detail. */
void api_answer_problemf(struct api_exchange *x, enum api_problem_kind kind,
                         const char *format, ...) LDB_PRINTF(3, 4);

/*
 * What an engine's failure means over HTTP: kind, Retry-After, detail, for
 * corruption file and offset. status is not LDB_OK.
 */
void api_problem_of_status(enum ldb_status status, const struct ldb_error *err,
                           struct api_problem *out);

/* api_problem_of_status() and api_answer_problem(). */
void api_answer_status(struct api_exchange *x, enum ldb_status status,
                       const struct ldb_error *err);

/* A body over x->body_limit: 413, naming the limit. */
void api_problem_body_too_large(const struct api_exchange *x,
                                struct api_problem *out);
void api_answer_body_too_large(struct api_exchange *x);

/* 409 read-only: the folder is served so. */
void api_answer_read_only(struct api_exchange *x);

/* No memory for the request: 503 overloaded, nothing was done. */
void api_answer_no_memory(struct api_exchange *x);

/*
 * Appends the problem's JSON object without a newline; used for the error
 * line of a stream too.
 */
LDB_MUST_CHECK enum ldb_status
api_problem_write(const struct api_problem *problem, struct ldb_buf *out);

#endif
