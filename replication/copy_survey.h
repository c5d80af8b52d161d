/*
 * What a copy of a leader's folder has: files in a folder at a plain web
 * server, or in one that rsync fills, which say nothing of themselves. Each
 * look reads what names the others: leveld/identity and leveld/epochs tell
 * whose history it is, CURRENT names the MANIFEST, the MANIFEST the tables and
 * the oldest journal that is not in them; later journals, and older ones in
 * leveld/archive/, are asked for by the numbers that they may have.
 *
 * A copy is not made at one moment: files are of different times, the ones with
 * the lower names of earlier ones, and those that were renamed meanwhile may
 * lack. So nothing is taken for granted that bytes do not show. A journal is
 * whole when the next one goes on with the sequence after its last one; where
 * there is a gap, when leveld/digests has its digest, or an epoch begins there.
 * Of a journal that is in tables, and whose rest is not there, nothing is
 * told: who needs it copies the tables instead.
 *
 * Thread-safety: one caller.
 */
#ifndef REPLICATION_COPY_SURVEY_H
#define REPLICATION_COPY_SURVEY_H

#include "replication/copy_journal.h"
#include "replication/copy_manifest.h"
#include "replication/digest_store.h"
#include "replication/epoch_history.h"
#include "replication/identity.h"

/* Bytes of a file's name in a copy, with its NUL: "leveld/archive/" and one of
 * a folder. */
#define REPL_COPY_PATH_SIZE (LDB_FILE_NAME_SIZE + 16)

/* So many numbers without a journal, and there is none that follows. Chosen:
 * more than tables are under way at a time; one that lies beyond is found when
 * the MANIFEST names it. */
#define REPL_COPY_NUMBERS_TRIED 64

struct repl_copy_file {
    uint64_t number; /* of a journal */
    uint64_t len;    /* bytes of the file; of the newest: of whole records */
    bool is_archived;
    bool must_size;           /* its length is asked for with each look */
    unsigned tries;           /* in vain, to find it whole */
    bool is_checked;          /* it is whole: nothing follows in it */
    struct ldb_digest digest; /* is_checked */
    ldb_sequence first;       /* of its operations; 0: it has none, yet */
    ldb_sequence last;        /* is_checked, and of the newest: the greatest */
};

/* Zeroed: nothing was seen. */
struct repl_copy_survey {
    struct repl_identity identity;
    struct repl_epoch_history history;
    struct repl_digest_list digests;
    struct repl_copy_manifest manifest;
    struct repl_copy_file *journals; /* owned; oldest first */
    size_t journal_count;
    size_t journal_capacity;
    struct repl_copy_journal newest; /* as far as it was read */
    /* The MANIFEST when the digests were read; zeroed: they were not. */
    uint64_t digests_manifest;
    uint64_t digests_manifest_len;
    uint64_t forgotten; /* journals up to that one are not told of */
};

void repl_copy_survey_release(struct repl_copy_survey *survey);

/*
 * Looks at what is there now.
 *
 * Errors: those of the transport; NOT_FOUND: which file is wanting; CORRUPTION:
 * what cannot be read; IO: what does not fit together, yet: later again;
 * NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_copy_survey_look(struct repl_copy_survey *survey,
                      struct repl_transport *transport, struct ldb_error *err);

/* The journal of the number; NULL: it is not told of. Valid until the next
 * look.
 */
struct repl_copy_file *repl_copy_survey_journal(struct repl_copy_survey *survey,
                                                uint64_t number);
/* Its name in the copy. */
void repl_copy_survey_path(const struct repl_copy_file *file,
                           char out[REPL_COPY_PATH_SIZE]);

/*
 * Whether the journal is whole, by what was read of it to its end. It is then
 * is_checked; one in tables that is not is forgotten, with all before it.
 */
LDB_MUST_CHECK bool
repl_copy_survey_check(struct repl_copy_survey *survey, uint64_t number,
                       const struct repl_copy_journal *content);

/* The digest that the leader found, of a table or a journal. False: it is not
 * known. */
bool repl_copy_survey_digest(const struct repl_copy_survey *survey,
                             enum ldb_file_type type, uint64_t number,
                             uint64_t size, struct ldb_digest *out);

/* The sequence that the list goes on with after its journal at; 0: it does not.
 */
ldb_sequence repl_copy_survey_next_first(const struct repl_copy_survey *survey,
                                         size_t at);

#endif
