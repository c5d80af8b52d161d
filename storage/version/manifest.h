/*
 * One MANIFEST file: a journal of version edits (docs/formats.md). Written
 * here byte by byte as told; what the records say is version_set.h's matter.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef STORAGE_VERSION_MANIFEST_H
#define STORAGE_VERSION_MANIFEST_H

#include "storage/base/env.h"
#include "storage/version/version_edit.h"

struct ldb_manifest;

/*
 * Makes MANIFEST-number in dir with one record. OK means that the file, its
 * directory entry and those of all files made in dir before survive a power
 * loss. On failure no such file is left, as far as the disk lets us.
 * env is borrowed until close.
 */
LDB_MUST_CHECK enum ldb_status
ldb_manifest_create(struct ldb_env *env, const char *dir, uint64_t number,
                    struct ldb_slice record, struct ldb_error *err,
                    struct ldb_manifest **out);

/*
 * Goes on with MANIFEST-number after its first len bytes, whole records: cuts
 * off what follows and syncs. Its name is durable by the next sync of dir.
 */
LDB_MUST_CHECK enum ldb_status ldb_manifest_open(struct ldb_env *env,
                                                 const char *dir,
                                                 uint64_t number, uint64_t len,
                                                 struct ldb_error *err,
                                                 struct ldb_manifest **out);

/*
 * Appends a record and syncs. On failure *out_is_unknown says whether the
 * record may yet be read after a crash; then the file must get no other (start
 * a new one). False: it was cut off again and the file is as before.
 */
LDB_MUST_CHECK enum ldb_status
ldb_manifest_append(struct ldb_manifest *manifest, struct ldb_slice record,
                    struct ldb_error *err, bool *out_is_unknown);

/* The same with a record that is framed for the file's end: bytes as they stand
 * in another MANIFEST there. */
LDB_MUST_CHECK enum ldb_status
ldb_manifest_append_framed(struct ldb_manifest *manifest,
                           struct ldb_slice bytes, struct ldb_error *err,
                           bool *out_is_unknown);

/*
 * Makes MANIFEST-number the first len bytes of what it is (0: none, it need not
 * be there) and bytes after them, framed records, at one stroke: as a file in
 * leveld/incoming/, synced, then renamed. *out writes to it. On failure
 * *out_is_unknown says whether a crash may leave the new one or the old.
 */
LDB_MUST_CHECK enum ldb_status
ldb_manifest_replace(struct ldb_env *env, const char *dir, uint64_t number,
                     uint64_t len, struct ldb_slice bytes,
                     struct ldb_error *err, struct ldb_manifest **out,
                     bool *out_is_unknown);

/*
 * After a failed ldb_current_set() to MANIFEST-number: removes that file,
 * durably, if CURRENT does not name it. False: it may be in force after a
 * crash, and stays.
 */
LDB_MUST_CHECK bool ldb_manifest_withdraw(struct ldb_env *env, const char *dir,
                                          uint64_t number);

uint64_t ldb_manifest_number(const struct ldb_manifest *manifest);
/* Bytes of the whole records in it. */
uint64_t ldb_manifest_len(const struct ldb_manifest *manifest);

/* NULL is fine. What was appended is synced, so closing has nothing to lose. */
void ldb_manifest_close(struct ldb_manifest *manifest);

/* Called for each edit in order; not OK stops. edit is borrowed. */
typedef enum ldb_status (*ldb_manifest_visit)(
    void *context, const struct ldb_version_edit *edit, struct ldb_error *err);

/*
 * Reads MANIFEST-number, strictly: damage but for a torn or zeroed tail is
 * CORRUPTION. out_len: bytes of its whole records. Errors name the file and
 * the record's offset.
 */
LDB_MUST_CHECK enum ldb_status
ldb_manifest_read(struct ldb_env *env, const char *dir, uint64_t number,
                  ldb_manifest_visit visit, void *context,
                  struct ldb_error *err, uint64_t *out_len);

/*
 * The same, but damage is dropped, as goleveldb does without StrictManifest:
 * the rest of a 32 KiB block, or a record that cannot be decoded. out_dropped:
 * its bytes. What the visit returns still stops it.
 */
LDB_MUST_CHECK enum ldb_status
ldb_manifest_salvage(struct ldb_env *env, const char *dir, uint64_t number,
                     ldb_manifest_visit visit, void *context,
                     struct ldb_error *err, uint64_t *out_len,
                     uint64_t *out_dropped);

#endif
