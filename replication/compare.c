#include "replication/compare.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "storage/base/compiler.h"

struct comparison {
    const struct repl_holdings *ours;
    const struct repl_state *theirs;
    const struct repl_proof *proof;
    ldb_sequence last; /* of our entries */
    size_t common;     /* epochs */
    struct repl_verdict *out;
};

const char *repl_verdict_text(enum repl_verdict_kind kind)
{
    switch (kind) {
    case REPL_VERDICT_SAME:
        return "same";
    case REPL_VERDICT_BEHIND:
        return "behind";
    case REPL_VERDICT_CONTAINED:
        return "contained";
    case REPL_VERDICT_DIVERGED:
        return "diverged";
    case REPL_VERDICT_UNKNOWN:
        return "unknown";
    case REPL_VERDICT_STRANGER:
        return "stranger";
    case REPL_VERDICT_LOWER:
        return "lower";
    case REPL_VERDICT_SPLIT:
        return "split";
    }
    return "";
}

static void LDB_PRINTF(4, 5)
    decide(struct comparison *c, enum repl_verdict_kind kind, ldb_sequence fork,
           const char *format, ...)
{
    va_list arguments;

    c->out->kind = kind;
    c->out->fork = fork;
    va_start(arguments, format);
    (void)vsnprintf(c->out->reason, sizeof(c->out->reason), format, arguments);
    va_end(arguments);
}

/* ---- who it is ---- */

/* False: it is not to be followed, and why is decided. */
static bool is_to_be_followed(struct comparison *c)
{
    const struct repl_epoch *mine = repl_epoch_history_last(&c->ours->history);
    const struct repl_epoch *its = repl_epoch_history_last(&c->theirs->history);

    if (c->ours->has_identity && strcmp(c->ours->identity.cluster_id,
                                        c->theirs->identity.cluster_id) != 0) {
        decide(c, REPL_VERDICT_STRANGER, 0,
               "this folder is of cluster %.32s, the leader of %.32s",
               c->ours->identity.cluster_id, c->theirs->identity.cluster_id);
        return false;
    }
    if (its == NULL) {
        decide(c, REPL_VERDICT_LOWER, 0, "the leader has no epoch yet");
        return false;
    }
    if (mine == NULL)
        return true;
    if (mine->number > its->number) {
        decide(c, REPL_VERDICT_LOWER, 0,
               "epoch %" PRIu64 " is known here, the leader is in %" PRIu64,
               mine->number, its->number);
        return false;
    }
    if (mine->number == its->number && mine->id != its->id) {
        decide(c, REPL_VERDICT_SPLIT, 0,
               "two leaders have epoch %" PRIu64 ": %016" PRIx64
               " is known here, the leader has %016" PRIx64,
               mine->number, mine->id, its->id);
        return false;
    }
    return true;
}

/* ---- where histories part, by their epochs ---- */

static size_t count_common(const struct repl_epoch_history *a,
                           const struct repl_epoch_history *b)
{
    size_t i = 0;

    while (i < a->count && i < b->count &&
           a->items[i].number == b->items[i].number &&
           a->items[i].id == b->items[i].id &&
           a->items[i].base == b->items[i].base)
        i++;
    return i;
}

/*
 * Between the last sequence that an epoch's leader found of the one before and
 * its own base lies what the one before had written and nobody kept.
 */
static ldb_sequence leave_gaps(const struct comparison *c, ldb_sequence last)
{
    const struct repl_epoch_history *history = &c->theirs->history;

    for (size_t i = 1; i < c->common; i++) {
        const struct repl_epoch *epoch = &history->items[i];
        ldb_sequence end = epoch->previous_last;

        /* An epoch without a write ends where it began. */
        if (history->items[i - 1].base > end)
            end = history->items[i - 1].base;
        if (last > end && last <= epoch->base)
            return epoch->previous_last;
    }
    return last;
}

/* The last of our sequences up to which both are one history. */
static ldb_sequence find_fork(const struct comparison *c)
{
    const struct repl_epoch_history *mine = &c->ours->history;
    const struct repl_epoch_history *its = &c->theirs->history;
    ldb_sequence fork = leave_gaps(c, c->last);
    ldb_sequence end = c->common < its->count
                           ? its->items[c->common].previous_last
                           : c->theirs->last_sequence;

    if (end < fork)
        fork = end;
    if (c->common < mine->count && mine->items[c->common].previous_last < fork)
        fork = mine->items[c->common].previous_last;
    return fork;
}

/* ---- whether the stream goes on from here ---- */

static const struct repl_journal_entry *find_journal(const struct repl_state *s,
                                                     uint64_t number)
{
    for (size_t i = 0; i < s->journal_count; i++) {
        if (s->journals[i].number == number)
            return &s->journals[i];
    }
    return NULL;
}

/* The journal that the next bytes belong to; NULL: none is held. An empty one
 * that the leader does not have is none. */
static const struct repl_held_journal *last_journal(const struct comparison *c)
{
    for (size_t i = c->ours->journal_count; i-- > 0;) {
        const struct repl_held_journal *journal = &c->ours->journals[i];

        if (journal->len > 0 ||
            find_journal(c->theirs, journal->number) != NULL)
            return journal;
    }
    return NULL;
}

static bool is_all(const struct comparison *c,
                   const struct repl_held_journal *journal)
{
    const struct repl_state *theirs = c->theirs;
    const struct repl_journal_entry *newest =
        &theirs->journals[theirs->journal_count - 1];

    return journal->number == newest->number && journal->len == newest->len &&
           c->ours->manifest_number == theirs->manifest_number &&
           c->ours->manifest_len == theirs->manifest_len;
}

/* All our entries are theirs; are the files a prefix, too, that grows on? */
static void compare_files(struct comparison *c)
{
    const struct repl_held_journal *newest = repl_holdings_newest(c->ours);
    const struct repl_held_journal *last = last_journal(c);

    if (c->proof->manifest == REPL_UNLIKE ||
        c->ours->manifest_number > c->theirs->manifest_number) {
        decide(c, REPL_VERDICT_CONTAINED, c->last,
               "MANIFEST-%06" PRIu64 " is not the leader's",
               c->ours->manifest_number);
    } else if (last == NULL || find_journal(c->theirs, last->number) == NULL) {
        decide(c, REPL_VERDICT_CONTAINED, c->last,
               "what follows on sequence %" PRIu64
               " is in no journal that the leader still has",
               c->last);
    } else if (newest == NULL ? c->proof->manifest != REPL_ALIKE
                              : c->proof->journal != REPL_ALIKE) {
        decide(c, REPL_VERDICT_CONTAINED, c->last,
               "no file tells that the folder is as the leader's was");
    } else if (is_all(c, last)) {
        decide(c, REPL_VERDICT_SAME, c->last, "nothing is wanting");
    } else {
        decide(c, REPL_VERDICT_BEHIND, c->last,
               "goes on in journal %06" PRIu64 " at %" PRIu64, last->number,
               last->len);
    }
}

/* Whether every epoch known here is one of the leader's: only then does its
 * list go on from ours (epoch_gate.h). */
static bool is_past_of_theirs(const struct comparison *c)
{
    return c->common == c->ours->history.count;
}

/* Nothing was ever written here, so nothing can be lost. */
static void compare_nothing(struct comparison *c)
{
    const struct repl_state *theirs = c->theirs;

    if (!is_past_of_theirs(c))
        decide(c, REPL_VERDICT_CONTAINED, 0,
               "nothing is here yet but an epoch that is not the leader's");
    else if (theirs->journal_count > 0 &&
             c->ours->log_number > theirs->journals[0].number)
        /* One that was to lead has numbers far above. */
        decide(c, REPL_VERDICT_CONTAINED, 0,
               "nothing is here yet, and MANIFEST-%06" PRIu64
               " begins with journal %06" PRIu64
               ", after the leader's first one",
               c->ours->manifest_number, c->ours->log_number);
    else if (theirs->journal_count > 0 && theirs->journals[0].first <= 1)
        decide(c, REPL_VERDICT_BEHIND, 0,
               "nothing is here yet, the leader has its first journal");
    else
        decide(c, REPL_VERDICT_CONTAINED, 0,
               "nothing is here yet, the leader's first journal is gone");
}

/* Without epochs bytes alone can tell. */
static bool is_same_history(const struct comparison *c)
{
    if (c->common > 0)
        return true;
    return c->ours->history.count == 0 && c->proof->manifest == REPL_ALIKE &&
           c->proof->journal == REPL_ALIKE;
}

/* The newest journal has other bytes than theirs of its number, and it is not
 * the epochs that tell why: whoever wrote them, they are ours alone. */
static ldb_sequence before_newest(const struct comparison *c, ldb_sequence fork)
{
    const struct repl_held_journal *newest = repl_holdings_newest(c->ours);

    if (c->proof->journal == REPL_UNLIKE && newest != NULL &&
        newest->first > 0 && fork >= newest->last)
        return newest->first - 1;
    return fork;
}

/* Another program has had the folder open; sequences of its own look like the
 * leader's, and only bytes tell that it has written none. */
static bool is_touched(const struct comparison *c)
{
    return c->ours->is_touched && c->proof->journal != REPL_ALIKE;
}

void repl_compare(const struct repl_holdings *ours,
                  const struct repl_state *theirs,
                  const struct repl_proof *proof, struct repl_verdict *out)
{
    struct comparison c = {
        .ours = ours,
        .theirs = theirs,
        .proof = proof,
        .last = repl_holdings_last_entry(ours),
        .common = count_common(&ours->history, &theirs->history),
        .out = out,
    };
    ldb_sequence fork;

    if (!is_to_be_followed(&c))
        return;
    if (ours->is_damaged) {
        decide(&c, REPL_VERDICT_UNKNOWN, 0, "the MANIFEST here is damaged");
        return;
    }
    if (!ours->has_database ||
        (ours->last_sequence == 0 && repl_holdings_newest(ours) == NULL)) {
        compare_nothing(&c);
        return;
    }
    if (!is_same_history(&c)) {
        decide(&c, REPL_VERDICT_UNKNOWN, 0,
               "no epoch here is one of the leader's");
        return;
    }
    if (is_touched(&c) && !ours->has_untouched_last) {
        decide(&c, REPL_VERDICT_UNKNOWN, 0,
               "another program has begun MANIFEST-%06" PRIu64
               " here, and what it wrote cannot be told",
               ours->manifest_number);
        return;
    }
    fork = before_newest(&c, c.common > 0 ? find_fork(&c) : c.last);
    if (is_touched(&c) && ours->untouched_last < fork)
        fork = ours->untouched_last;
    if (fork < c.last)
        decide(&c, REPL_VERDICT_DIVERGED, fork,
               "sequences above %" PRIu64 " up to %" PRIu64
               " are not in the leader's history",
               fork, c.last);
    else if (!is_past_of_theirs(&c))
        decide(&c, REPL_VERDICT_CONTAINED, c.last,
               "epoch %" PRIu64
               ", of which nothing is here, is not in the leader's history",
               ours->history.items[c.common].number);
    else
        compare_files(&c);
}
