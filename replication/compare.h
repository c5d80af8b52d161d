/*
 * How the history in a folder stands to that of a leader: the same, an earlier
 * part of it, or another one from some sequence on. A function of what both
 * have, and of what was found by comparing bytes (likeness.h): nothing is read
 * or written here.
 *
 * A sequence alone does not identify a history. Epochs tell where histories may
 * part; that a folder's files are a prefix of the leader's takes bytes which
 * are the same. An empty file proves nothing; so an empty journal of our own is
 * no difference either. What cannot be compared is no match.
 *
 * Thread-safety: a function of its arguments.
 */
#ifndef REPLICATION_COMPARE_H
#define REPLICATION_COMPARE_H

#include "replication/holdings.h"
#include "replication/protocol.h"

enum repl_likeness {
    REPL_LIKENESS_UNKNOWN, /* nothing to compare with, or not compared */
    REPL_ALIKE,
    REPL_UNLIKE,
};

struct repl_proof {
    enum repl_likeness manifest; /* ours with theirs of the same number */
    enum repl_likeness journal;  /* that of repl_holdings_newest() */
};

enum repl_verdict_kind {
    /* We are a prefix, and all that follows is there: goes on by the stream.
     * SAME: nothing follows now. */
    REPL_VERDICT_SAME,
    REPL_VERDICT_BEHIND,
    /* All our entries are the leader's, but the files do not go on from here:
     * what follows is gone, or the MANIFEST is another. To be rebuilt; nothing
     * is to be set aside. Where no file was there to prove it, the epochs say
     * so: of a folder that another library wrote to, nothing else can. */
    REPL_VERDICT_CONTAINED,
    /* Entries above fork are ours alone: to be rebuilt, they to be set aside.
     */
    REPL_VERDICT_DIVERGED,
    /* Neither epochs nor bytes tell. To be rebuilt when an operator says so;
     * all that is not found there is to be set aside. fork is 0. */
    REPL_VERDICT_UNKNOWN,
    /* Not to be followed: another cluster; an epoch below ours; two leaders
     * with the number of one epoch (split brain). */
    REPL_VERDICT_STRANGER,
    REPL_VERDICT_LOWER,
    REPL_VERDICT_SPLIT,
};

#define REPL_VERDICT_REASON_SIZE 160

struct repl_verdict {
    enum repl_verdict_kind kind;
    /* The last sequence that is surely of both; our last one, unless diverged
     * or unknown. */
    ldb_sequence fork;
    char reason[REPL_VERDICT_REASON_SIZE]; /* a sentence for a person */
};

/* "same", "behind", "contained", ... */
const char *repl_verdict_text(enum repl_verdict_kind kind);

void repl_compare(const struct repl_holdings *ours,
                  const struct repl_state *theirs,
                  const struct repl_proof *proof, struct repl_verdict *out);

#endif
