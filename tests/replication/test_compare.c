/*
 * Histories as a table: what the folder has, what the leader has, and what is
 * to be said of them.
 */
#include "replication/compare.h"
#include "tests/support/assert_ldb.h"

#define SKIP REPL_EPOCH_SKIP

/* Epochs by their ids: 1 began at 0; 2 found 100, 3 found 50 above base. */
#define BASE_2 (100 + SKIP)
#define BASE_3 (BASE_2 + 50 + SKIP)

static struct repl_epoch epochs_a[] = {
    {.number = 1, .id = 0xa1, .previous_last = 0, .base = 0},
    {.number = 2, .id = 0xa2, .previous_last = 100, .base = BASE_2},
    {.number = 3, .id = 0xa3, .previous_last = BASE_2 + 50, .base = BASE_3},
};

/* Another leader took over after epoch 1, at 80. */
static struct repl_epoch epochs_b[] = {
    {.number = 1, .id = 0xa1, .previous_last = 0, .base = 0},
    {.number = 2, .id = 0xb2, .previous_last = 80, .base = 80 + SKIP},
};

/* A third one that never heard of that. */
static struct repl_epoch epochs_d[] = {
    {.number = 1, .id = 0xa1, .previous_last = 0, .base = 0},
    {.number = 3, .id = 0xd3, .previous_last = 90, .base = 90 + 2 * SKIP},
};

static struct repl_epoch epochs_c[] = {
    {.number = 1, .id = 0xc1, .previous_last = 0, .base = 0},
};

/* The leader's journals: 5 and 7 are sealed, 9 is open. */
static struct repl_journal_entry leader_journals[] = {
    {.number = 5, .len = 1000, .is_sealed = true, .first = 41, .last = 60},
    {.number = 7, .len = 1000, .is_sealed = true, .first = 61, .last = 80},
    {.number = 9, .len = 500, .first = 81, .last = 90},
};

struct row {
    const char *name;
    /* Ours. */
    const struct repl_epoch *epochs;
    size_t epoch_count;
    ldb_sequence last;
    struct repl_held_journal journals[3]; /* number 0: no more */
    uint64_t manifest;
    uint64_t manifest_len;
    bool has_other_cluster;
    bool has_no_identity;
    bool is_damaged;
    bool has_no_database;
    struct repl_proof proof;
    /* The leader's: epochs, last sequence, and whether its first journal is
     * that of a new database. */
    const struct repl_epoch *their_epochs;
    size_t their_epoch_count;
    ldb_sequence their_last;
    uint64_t their_manifest;
    uint64_t their_manifest_len;
    bool has_all_journals;
    /* What is to be said. */
    enum repl_verdict_kind kind;
    ldb_sequence fork;
};

#define ALIKE                                                                  \
    {                                                                          \
        REPL_ALIKE, REPL_ALIKE                                                 \
    }
#define JOURNAL(n, bytes, from, to)                                            \
    {                                                                          \
        .number = (n), .len = (bytes), .file_len = (bytes), .first = (from),   \
        .last = (to)                                                           \
    }
#define EMPTY(n) JOURNAL(n, 0, 0, 0)

static const struct row rows[] = {
    {"the same",
     epochs_a,
     1,
     90,
     {JOURNAL(9, 500, 81, 90)},
     8,
     300,
     .proof = ALIKE,
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_SAME,
     .fork = 90},
    {"behind in the open journal",
     epochs_a,
     1,
     85,
     {JOURNAL(9, 200, 81, 85)},
     8,
     300,
     .proof = ALIKE,
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_BEHIND,
     .fork = 85},
    {"behind in the MANIFEST alone",
     epochs_a,
     1,
     90,
     {JOURNAL(9, 500, 81, 90)},
     8,
     200,
     .proof = ALIKE,
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_BEHIND,
     .fork = 90},
    {"behind, and the leader has begun another MANIFEST",
     epochs_a,
     1,
     65,
     {JOURNAL(7, 300, 61, 65)},
     4,
     300,
     .proof = {REPL_LIKENESS_UNKNOWN, REPL_ALIKE},
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_BEHIND,
     .fork = 65},
    {"a MANIFEST above the leader's is not its",
     epochs_a,
     1,
     65,
     {JOURNAL(7, 300, 61, 65)},
     12,
     300,
     .proof = {REPL_LIKENESS_UNKNOWN, REPL_ALIKE},
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_CONTAINED,
     .fork = 65},
    {"journals alike, the MANIFEST is not",
     epochs_a,
     1,
     65,
     {JOURNAL(7, 300, 61, 65)},
     8,
     300,
     .proof = {REPL_UNLIKE, REPL_ALIKE},
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_CONTAINED,
     .fork = 65},
    {"behind, what follows is gone",
     epochs_a,
     1,
     30,
     {JOURNAL(3, 300, 21, 30)},
     2,
     300,
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_CONTAINED,
     .fork = 30},
    {"nothing was compared: no match",
     epochs_a,
     1,
     65,
     {JOURNAL(7, 300, 61, 65)},
     8,
     300,
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_CONTAINED,
     .fork = 65},
    {"an empty journal of our own is no difference",
     epochs_a,
     1,
     80,
     {JOURNAL(7, 1000, 61, 80), EMPTY(8)},
     8,
     300,
     .proof = ALIKE,
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_BEHIND,
     .fork = 80},
    {"an empty journal of the leader's is where it goes on",
     epochs_a,
     1,
     80,
     {EMPTY(9)},
     8,
     300,
     .proof = {REPL_ALIKE, REPL_LIKENESS_UNKNOWN},
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_BEHIND,
     .fork = 80},
    {"an empty journal proves nothing",
     epochs_a,
     1,
     80,
     {EMPTY(9)},
     6,
     300,
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_CONTAINED,
     .fork = 80},
    {"other bytes in the newest journal",
     epochs_a,
     1,
     85,
     {JOURNAL(7, 1000, 61, 80), JOURNAL(9, 200, 81, 85)},
     8,
     300,
     .proof = {REPL_ALIKE, REPL_UNLIKE},
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_DIVERGED,
     .fork = 80},
    {"more than the leader has in one epoch",
     epochs_a,
     1,
     95,
     {JOURNAL(9, 600, 81, 95)},
     8,
     300,
     .proof = {REPL_ALIKE, REPL_UNLIKE},
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_DIVERGED,
     .fork = 90},
    /* Epochs. */
    {"a follower of the epoch before",
     epochs_a,
     1,
     90,
     {JOURNAL(9, 500, 81, 90)},
     8,
     300,
     .proof = ALIKE,
     .their_epochs = epochs_a,
     .their_epoch_count = 2,
     .their_last = BASE_2 + 10,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_SAME,
     .fork = 90},
    {"a leader of the epoch before, whose tail was not kept",
     epochs_a,
     1,
     120,
     {JOURNAL(9, 900, 81, 120)},
     8,
     300,
     .proof = {REPL_ALIKE, REPL_UNLIKE},
     .their_epochs = epochs_a,
     .their_epoch_count = 2,
     .their_last = BASE_2 + 10,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_DIVERGED,
     .fork = 100},
    {"the same, and it had learnt of the new epoch",
     epochs_a,
     2,
     120,
     {JOURNAL(9, 900, 81, 120)},
     8,
     300,
     .proof = {REPL_ALIKE, REPL_UNLIKE},
     .their_epochs = epochs_a,
     .their_epoch_count = 2,
     .their_last = BASE_2 + 10,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_DIVERGED,
     .fork = 100},
    {"two epochs behind, and in a gap",
     epochs_a,
     1,
     120,
     {JOURNAL(9, 900, 81, 120)},
     4,
     300,
     .their_epochs = epochs_a,
     .their_epoch_count = 3,
     .their_last = BASE_3 + 10,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_DIVERGED,
     .fork = 100},
    {"wrote in an epoch of its own",
     epochs_a,
     2,
     BASE_2 + 5,
     {JOURNAL(12, 900, BASE_2 + 1, BASE_2 + 5)},
     11,
     300,
     .their_epochs =
         (const struct repl_epoch[]){
             {.number = 1, .id = 0xa1},
             {.number = 3, .id = 0xb3, .previous_last = 80, .base = 80 + SKIP}},
     .their_epoch_count = 2,
     .their_last = 90 + SKIP,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_DIVERGED,
     .fork = 80},
    {"began an epoch of its own, and wrote nothing",
     epochs_a,
     2,
     BASE_2,
     {EMPTY(12)},
     11,
     300,
     .their_epochs = (const struct repl_epoch[]){{.number = 1, .id = 0xa1},
                                                 {.number = 3,
                                                  .id = 0xb3,
                                                  .previous_last = 100,
                                                  .base = 100 + SKIP}},
     .their_epoch_count = 2,
     .their_last = 190 + SKIP,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_CONTAINED,
     .fork = 100},
    {"knows an epoch of a leader that is gone, and has nothing of it",
     epochs_b,
     2,
     65,
     {JOURNAL(7, 300, 61, 65)},
     8,
     300,
     .proof = ALIKE,
     .their_epochs = epochs_d,
     .their_epoch_count = 2,
     .their_last = 95 + 2 * SKIP,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_CONTAINED,
     .fork = 65},
    {"the leader is in a lower epoch",
     epochs_a,
     3,
     90,
     {JOURNAL(9, 500, 81, 90)},
     8,
     300,
     .proof = ALIKE,
     .their_epochs = epochs_a,
     .their_epoch_count = 2,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_LOWER},
    {"two leaders of one epoch",
     epochs_a,
     2,
     90,
     {JOURNAL(9, 500, 81, 90)},
     8,
     300,
     .proof = ALIKE,
     .their_epochs = epochs_b,
     .their_epoch_count = 2,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_SPLIT},
    {"another cluster",
     epochs_a,
     1,
     90,
     {JOURNAL(9, 500, 81, 90)},
     8,
     300,
     .has_other_cluster = true,
     .proof = ALIKE,
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_STRANGER},
    {"another cluster, and nothing is here",
     epochs_a,
     1,
     0,
     {{0}},
     0,
     0,
     .has_other_cluster = true,
     .has_no_database = true,
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .has_all_journals = true,
     .kind = REPL_VERDICT_STRANGER},
    {"no epoch in common",
     epochs_c,
     1,
     90,
     {JOURNAL(9, 500, 81, 90)},
     8,
     300,
     .proof = ALIKE,
     .their_epochs = epochs_a,
     .their_epoch_count = 2,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_UNKNOWN},
    {"a leader without epochs",
     epochs_a,
     1,
     90,
     {JOURNAL(9, 500, 81, 90)},
     8,
     300,
     .proof = ALIKE,
     .their_epochs = NULL,
     .their_epoch_count = 0,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_LOWER},
    /* Without leveld/. */
    {"a copy, and its bytes tell",
     NULL,
     0,
     85,
     {JOURNAL(9, 200, 81, 85)},
     8,
     300,
     .has_no_identity = true,
     .proof = ALIKE,
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_BEHIND,
     .fork = 85},
    {"a copy of which half can be compared",
     NULL,
     0,
     85,
     {JOURNAL(9, 200, 81, 85)},
     4,
     300,
     .has_no_identity = true,
     .proof = {REPL_LIKENESS_UNKNOWN, REPL_ALIKE},
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_UNKNOWN},
    {"a damaged MANIFEST",
     epochs_a,
     1,
     85,
     {JOURNAL(9, 200, 81, 85)},
     0,
     0,
     .is_damaged = true,
     .proof = {REPL_LIKENESS_UNKNOWN, REPL_ALIKE},
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .their_manifest = 8,
     .their_manifest_len = 300,
     .kind = REPL_VERDICT_UNKNOWN},
    /* Nothing is here. */
    {"an empty folder, all journals there",
     NULL,
     0,
     0,
     {{0}},
     0,
     0,
     .has_no_identity = true,
     .has_no_database = true,
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .has_all_journals = true,
     .kind = REPL_VERDICT_BEHIND},
    {"an empty folder, the first journal gone",
     NULL,
     0,
     0,
     {{0}},
     0,
     0,
     .has_no_identity = true,
     .has_no_database = true,
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .kind = REPL_VERDICT_CONTAINED},
    {"an empty database",
     NULL,
     0,
     0,
     {EMPTY(1)},
     0,
     100,
     .has_no_identity = true,
     .their_epochs = epochs_a,
     .their_epoch_count = 1,
     .their_last = 90,
     .has_all_journals = true,
     .kind = REPL_VERDICT_BEHIND},
    {"an empty database that knows an epoch of a leader that is gone",
     epochs_b,
     2,
     0,
     {EMPTY(1)},
     0,
     100,
     .their_epochs = epochs_d,
     .their_epoch_count = 2,
     .their_last = 95 + 2 * SKIP,
     .has_all_journals = true,
     .kind = REPL_VERDICT_CONTAINED},
};

static const struct repl_identity cluster_1 = {
    .cluster_id = "00000000000000000000000000000001"};
static const struct repl_identity cluster_2 = {
    .cluster_id = "00000000000000000000000000000002"};

/* A copy that is released: what is in a row is const. */
static struct repl_epoch_history history_of(const struct repl_epoch *epochs,
                                            size_t count)
{
    struct repl_epoch_history history = {0};

    for (size_t i = 0; i < count; i++)
        assert_ldb_ok(repl_epoch_history_append(&history, &epochs[i], NULL),
                      NULL);
    return history;
}

static void fill_ours(const struct row *row, struct repl_held_journal *journals,
                      struct repl_holdings *out)
{
    *out = (struct repl_holdings){
        .has_database = !row->has_no_database,
        .is_damaged = row->is_damaged,
        .has_identity = !row->has_no_identity,
        .identity = row->has_other_cluster ? cluster_2 : cluster_1,
        .history = history_of(row->epochs, row->epoch_count),
        .manifest_number = row->manifest,
        .manifest_len = row->manifest_len,
        .journals = journals,
        .last_sequence = row->last,
    };
    while (out->journal_count < 3 &&
           row->journals[out->journal_count].number != 0) {
        journals[out->journal_count] = row->journals[out->journal_count];
        out->journal_count++;
    }
}

static void verdicts_are_those_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        struct repl_held_journal journals[3];
        struct repl_journal_entry all = {.number = 1, .len = 10, .first = 1};
        struct repl_holdings ours;
        struct repl_state theirs = {
            .identity = cluster_1,
            .history = history_of(row->their_epochs, row->their_epoch_count),
            .manifest_number = row->their_manifest,
            .manifest_len = row->their_manifest_len,
            .journals = row->has_all_journals ? &all : leader_journals,
            .journal_count = row->has_all_journals ? 1 : 3,
            .last_sequence = row->their_last,
        };
        struct repl_verdict verdict = {0};

        fill_ours(row, journals, &ours);
        repl_compare(&ours, &theirs, &row->proof, &verdict);
        if (verdict.kind != row->kind || verdict.fork != row->fork)
            fail_msg("%s: %s at %llu (%s)", row->name,
                     repl_verdict_text(verdict.kind),
                     (unsigned long long)verdict.fork, verdict.reason);
        assert_true(verdict.reason[0] != '\0');
        repl_epoch_history_release(&ours.history);
        repl_epoch_history_release(&theirs.history);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_are_those_of_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
