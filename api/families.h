/*
 * The families of /metrics: their names, in Prometheus' sense stable, with
 * what Prometheus is told of them. Seconds, bytes and plain numbers; a counter
 * ends in _total. The process_* are the customary names.
 *
 * Thread-safety: constant.
 */
#ifndef API_FAMILIES_H
#define API_FAMILIES_H

#include "storage/base/compiler.h"

enum api_family_type {
    API_COUNTER,
    API_GAUGE,
    API_HISTOGRAM,
};

/* In what the figure is counted here; shown as seconds or as it is. */
enum api_unit {
    API_AS_IT_IS,
    API_MICROSECONDS,
};

/* id, name, type, unit, help; in the order of /metrics */
#define API_FAMILY_LIST(X)                                                     \
    X(BUILD_INFO, "leveld_build_info", GAUGE, AS_IT_IS,                        \
      "Version and commit of the program; always 1.")                          \
    X(NODE_INFO, "leveld_node_info", GAUGE, AS_IT_IS,                          \
      "Cluster, node and role; always 1.")                                     \
    X(READY, "leveld_ready", GAUGE, AS_IT_IS,                                  \
      "Whether the node is fit to serve, as /readyz has it.")                  \
    X(NOT_READY, "leveld_not_ready", GAUGE, AS_IT_IS,                          \
      "1 for the reason why the node is not ready; no sample when it is.")     \
    X(READ_ONLY, "leveld_read_only", GAUGE, AS_IT_IS,                          \
      "Whether the folder is served read-only.")                               \
    X(EPOCH, "leveld_epoch", GAUGE, AS_IT_IS,                                  \
      "Epoch in which the node writes.")                                       \
    X(SEQUENCE, "leveld_sequence", GAUGE, AS_IT_IS,                            \
      "Sequence of the last write.")                                           \
    X(DURABLE_SEQUENCE, "leveld_durable_sequence", GAUGE, AS_IT_IS,            \
      "Sequence of the last write that is known to be on disk.")               \
    X(OLDEST_SEQUENCE, "leveld_oldest_sequence", GAUGE, AS_IT_IS,              \
      "Sequence after which all changes are in journals that are kept.")       \
    X(UPTIME, "leveld_uptime_seconds", GAUGE, AS_IT_IS,                        \
      "Time since the node was started.")                                      \
    X(LIMIT_BYTES, "leveld_limit_bytes", GAUGE, AS_IT_IS,                      \
      "Limits of requests and answers in bytes.")                              \
    X(LIMIT_ITEMS, "leveld_limit_items", GAUGE, AS_IT_IS,                      \
      "Limits of requests and answers in items.")                              \
    X(HTTP_REQUESTS, "leveld_http_requests_total", COUNTER, AS_IT_IS,          \
      "Requests by route and by class of status, or abandoned by the client.") \
    X(HTTP_DURATION, "leveld_http_request_duration_seconds", HISTOGRAM,        \
      MICROSECONDS, "From a request's headers to the end of its answer.")      \
    X(HTTP_LONGEST, "leveld_http_request_longest_seconds", GAUGE,              \
      MICROSECONDS, "The longest request of a route since start.")             \
    X(HTTP_CONNECTIONS, "leveld_http_connections", GAUGE, AS_IT_IS,            \
      "Connections that are open.")                                            \
    X(HTTP_ACCEPTED, "leveld_http_connections_accepted_total", COUNTER,        \
      AS_IT_IS, "Connections that were accepted.")                             \
    X(HTTP_REFUSED, "leveld_http_connections_refused_total", COUNTER,          \
      AS_IT_IS, "Connections refused with 503: there were too many.")          \
    X(HTTP_TIMEOUTS, "leveld_http_timeouts_total", COUNTER, AS_IT_IS,          \
      "Connections cut: headers, a body or a large answer took too long.")     \
    X(HTTP_UPLOAD, "leveld_http_upload_bytes", GAUGE, AS_IT_IS,                \
      "Upload budget taken by request bodies under way.")                      \
    X(HTTP_UPLOAD_BUDGET, "leveld_http_upload_budget_bytes", GAUGE, AS_IT_IS,  \
      "Upload budget; 0: none.")                                               \
    X(HTTP_ANSWER, "leveld_http_answer_bytes", GAUGE, AS_IT_IS,                \
      "Answer budget taken by large answers that wait for their readers.")     \
    X(HTTP_ANSWER_BUDGET, "leveld_http_answer_budget_bytes", GAUGE, AS_IT_IS,  \
      "Answer budget; 0: none.")                                               \
    X(LOG_LINES, "leveld_log_lines_total", COUNTER, AS_IT_IS,                  \
      "Lines about requests that were to be written.")                         \
    X(LOG_LINES_DROPPED, "leveld_log_dropped_lines_total", COUNTER, AS_IT_IS,  \
      "Lines about requests that were dropped: the log was not written as "    \
      "fast as they came.")                                                    \
    X(LEVEL_TABLES, "leveld_level_tables", GAUGE, AS_IT_IS,                    \
      "Tables of a level.")                                                    \
    X(LEVEL_BYTES, "leveld_level_bytes", GAUGE, AS_IT_IS,                      \
      "Bytes of a level's tables.")                                            \
    X(LEVEL_SCORE, "leveld_level_score_ratio", GAUGE, AS_IT_IS,                \
      "How full a level is; 1 or more: its compaction is due.")                \
    X(LEVEL_COMPACTIONS, "leveld_level_compactions_total", COUNTER, AS_IT_IS,  \
      "Compactions into a level.")                                             \
    X(LEVEL_SEEKS, "leveld_level_seek_compactions_total", COUNTER, AS_IT_IS,   \
      "Compactions into a level that reads asked for.")                        \
    X(LEVEL_READ, "leveld_level_compaction_read_bytes_total", COUNTER,         \
      AS_IT_IS, "Bytes that compactions into a level read.")                   \
    X(LEVEL_WRITTEN, "leveld_level_compaction_written_bytes_total", COUNTER,   \
      AS_IT_IS,                                                                \
      "Bytes that compactions into a level wrote; of level 0: flushes.")       \
    X(LEVEL_TIME, "leveld_level_compaction_seconds_total", COUNTER,            \
      MICROSECONDS, "Time of the compactions into a level.")                   \
    X(MANIFEST_NUMBER, "leveld_manifest_number", GAUGE, AS_IT_IS,              \
      "Number of the MANIFEST.")                                               \
    X(MANIFEST_BYTES, "leveld_manifest_bytes", GAUGE, AS_IT_IS,                \
      "Length of the MANIFEST.")                                               \
    X(MANIFEST_SEQUENCE, "leveld_manifest_sequence", GAUGE, AS_IT_IS,          \
      "Last sequence number that the MANIFEST says was given out.")            \
    X(JOURNAL_NUMBER, "leveld_journal_number", GAUGE, AS_IT_IS,                \
      "Number of the open journal.")                                           \
    X(JOURNAL_BYTES, "leveld_journal_bytes", GAUGE, AS_IT_IS,                  \
      "Length of the open journal.")                                           \
    X(JOURNAL_SYNCED, "leveld_journal_synced_bytes", GAUGE, AS_IT_IS,          \
      "How much of the open journal is durable.")                              \
    X(JOURNAL_WRITTEN, "leveld_journal_written_bytes_total", COUNTER,          \
      AS_IT_IS, "Bytes written to journals.")                                  \
    X(JOURNAL_SYNCS, "leveld_journal_syncs_total", COUNTER, AS_IT_IS,          \
      "Syncs of journals.")                                                    \
    X(JOURNAL_SYNC_TIME, "leveld_journal_sync_seconds_total", COUNTER,         \
      MICROSECONDS, "Time that syncs of journals took.")                       \
    X(ARCHIVE_JOURNALS, "leveld_archive_journals", GAUGE, AS_IT_IS,            \
      "Journals that are kept for who reads changes.")                         \
    X(ARCHIVE_BYTES, "leveld_archive_bytes", GAUGE, AS_IT_IS,                  \
      "Bytes of disk that they take.")                                         \
    X(ARCHIVE_BYTES_MAX, "leveld_archive_max_bytes", GAUGE, AS_IT_IS,          \
      "Bytes of disk that they may take.")                                     \
    X(JOURNAL_PINS, "leveld_journal_pins", GAUGE, AS_IT_IS,                    \
      "Readers that need journals.")                                           \
    X(JOURNAL_PINS_LOST, "leveld_journal_pins_lost_total", COUNTER, AS_IT_IS,  \
      "Readers whose journals had to go, for they were too slow.")             \
    X(FEEDS, "leveld_feeds", GAUGE, AS_IT_IS,                                  \
      "Streams of changes that are open.")                                     \
    X(FEEDS_OPENED, "leveld_feeds_opened_total", COUNTER, AS_IT_IS,            \
      "Streams of changes that were opened.")                                  \
    X(FEEDS_REFUSED, "leveld_feeds_refused_total", COUNTER, AS_IT_IS,          \
      "Streams of changes that were refused, for as many as may were open.")   \
    X(FEED_HEARTBEAT, "leveld_feed_heartbeat_seconds", GAUGE, MICROSECONDS,    \
      "Time after which a silent live feed tells its sequence.")               \
    X(REPLICAS_MIN, "leveld_replicas_min", GAUGE, AS_IT_IS,                    \
      "Followers that have to sync every write.")                              \
    X(REPLICATED_WRITES, "leveld_replicated_writes_total", COUNTER, AS_IT_IS,  \
      "Writes that waited for followers, by what came of it.")                 \
    X(REPLICATED_WAITING, "leveld_replicated_writes_waiting", GAUGE, AS_IT_IS, \
      "Writes that wait for followers.")                                       \
    X(FOLLOWERS, "leveld_followers", GAUGE, AS_IT_IS,                          \
      "Followers that journals are kept for, dead ones too.")                  \
    X(FOLLOWERS_ALIVE, "leveld_followers_alive", GAUGE, AS_IT_IS,              \
      "Followers heard of lately.")                                            \
    X(FOLLOWERS_LOST, "leveld_followers_lost", GAUGE, AS_IT_IS,                \
      "Followers too far behind: they have to copy the folder anew.")          \
    X(SLOTS_LOST, "leveld_slots_lost_total", COUNTER, AS_IT_IS,                \
      "Times that a follower fell too far behind.")                            \
    X(SLOTS_EVICTED, "leveld_slots_evicted_total", COUNTER, AS_IT_IS,          \
      "Dead followers that gave way to new ones.")                             \
    X(SLOT_JOURNALS, "leveld_slot_journal_bytes", GAUGE, AS_IT_IS,             \
      "Bytes of sealed journals that followers still need.")                   \
    X(LAG_SEQUENCES, "leveld_follower_lag_sequences", GAUGE, AS_IT_IS,         \
      "Sequences that the living follower farthest behind has not applied.")   \
    X(LAG_BYTES, "leveld_follower_lag_bytes", GAUGE, AS_IT_IS,                 \
      "Bytes of journals that the same has not synced.")                       \
    X(LAG_TIME, "leveld_follower_lag_seconds", GAUGE, MICROSECONDS,            \
      "For how long it has lacked the first of them.")                         \
    X(SLOT_ALIVE, "leveld_slot_alive", GAUGE, AS_IT_IS,                        \
      "Whether a follower was heard of lately.")                               \
    X(SLOT_LOST, "leveld_slot_lost", GAUGE, AS_IT_IS,                          \
      "Whether a follower has to copy the folder anew.")                       \
    X(SLOT_KEPT, "leveld_slot_kept_bytes", GAUGE, AS_IT_IS,                    \
      "Bytes of sealed journals that are kept for a follower.")                \
    X(SLOT_SYNCED, "leveld_slot_synced_sequence", GAUGE, AS_IT_IS,             \
      "Up to here a follower has all on disk.")                                \
    X(SLOT_APPLIED, "leveld_slot_applied_sequence", GAUGE, AS_IT_IS,           \
      "Up to here readers of a follower see all.")                             \
    X(SLOT_LAG_SEQUENCES, "leveld_slot_lag_sequences", GAUGE, AS_IT_IS,        \
      "Sequences that a follower has not applied.")                            \
    X(SLOT_LAG_BYTES, "leveld_slot_lag_bytes", GAUGE, AS_IT_IS,                \
      "Bytes of journals that a follower has not synced.")                     \
    X(SLOT_LAG, "leveld_slot_lag_seconds", GAUGE, MICROSECONDS,                \
      "For how long a follower has lacked the first of them.")                 \
    X(SLOT_BUILT, "leveld_slot_tables_built_total", COUNTER, AS_IT_IS,         \
      "Tables that a follower wrote itself, as it says.")                      \
    X(SLOT_FETCHED, "leveld_slot_tables_fetched_total", COUNTER, AS_IT_IS,     \
      "Tables that a follower fetched, as it says.")                           \
    X(SLOT_MISMATCHES, "leveld_slot_digest_mismatches_total", COUNTER,         \
      AS_IT_IS, "Tables of a follower that were not what this node has.")      \
    X(ACKS, "leveld_follower_acks_total", COUNTER, AS_IT_IS,                   \
      "Acknowledgements of followers.")                                        \
    X(ACKS_REFUSED, "leveld_follower_acks_refused_total", COUNTER, AS_IT_IS,   \
      "Acknowledgements refused: they were of another epoch.")                 \
    X(EPOCH_HEARD, "leveld_epoch_heard", GAUGE, AS_IT_IS,                      \
      "The highest epoch a follower named; above the node's own, another "     \
      "node leads.")                                                           \
    X(CHECKPOINTS, "leveld_replication_checkpoints", GAUGE, AS_IT_IS,          \
      "Versions held for followers that copy the folder.")                     \
    X(FILES_OPEN, "leveld_replication_files", GAUGE, AS_IT_IS,                 \
      "Files that are read by others now.")                                    \
    X(FILES_WAITING, "leveld_replication_files_waiting", GAUGE, AS_IT_IS,      \
      "Of them, those whose reader waits for more.")                           \
    X(FILES_OPENED, "leveld_replication_files_opened_total", COUNTER,          \
      AS_IT_IS, "Files that others have read.")                                \
    X(FILES_BYTES, "leveld_replication_sent_bytes_total", COUNTER, AS_IT_IS,   \
      "Bytes of files that others have read.")                                 \
    X(DIGESTS, "leveld_digests", GAUGE, AS_IT_IS,                              \
      "Files whose digests are known.")                                        \
    X(DIGESTS_WANTED, "leveld_digests_wanted", GAUGE, AS_IT_IS,                \
      "Files that are to be digested.")                                        \
    X(DIGESTS_READ, "leveld_digested_files_total", COUNTER, AS_IT_IS,          \
      "Files that were read to digest them.")                                  \
    X(DIGESTS_BYTES, "leveld_digested_bytes_total", COUNTER, AS_IT_IS,         \
      "Bytes of them.")                                                        \
    X(DIGESTS_FAILED, "leveld_digest_failures_total", COUNTER, AS_IT_IS,       \
      "Files that could not be digested.")                                     \
    X(DIGESTS_UNSTORED, "leveld_digest_store_failures_total", COUNTER,         \
      AS_IT_IS, "Times that digests could not be stored.")                     \
    X(FOLLOWING_STATE, "leveld_following_state", GAUGE, AS_IT_IS,              \
      "1 for what a follower is at; no sample of a node that leads.")          \
    X(FOLLOWING_EPOCH, "leveld_following_epoch", GAUGE, AS_IT_IS,              \
      "The highest epoch that it has accepted.")                               \
    X(FOLLOWING_RATE, "leveld_following_bytes_per_second", GAUGE, AS_IT_IS,    \
      "Bytes of journals and tables that came from its leader lately.")        \
    X(FOLLOWING_JOURNAL, "leveld_following_journal", GAUGE, AS_IT_IS,          \
      "Journal that it is in, by what is done with it.")                       \
    X(FOLLOWING_OFFSET, "leveld_following_journal_bytes", GAUGE, AS_IT_IS,     \
      "How far it is in that journal.")                                        \
    X(FOLLOWING_SEQUENCE, "leveld_following_sequence", GAUGE, AS_IT_IS,        \
      "Sequence of the last write up to there.")                               \
    X(FOLLOWING_MANIFEST, "leveld_following_manifest_number", GAUGE, AS_IT_IS, \
      "Number of its MANIFEST.")                                               \
    X(FOLLOWING_MANIFEST_BYTES, "leveld_following_manifest_bytes", GAUGE,      \
      AS_IT_IS, "Length of its MANIFEST.")                                     \
    X(LEADER_JOURNAL, "leveld_leader_journal", GAUGE, AS_IT_IS,                \
      "Journal that its leader was in when it was heard last.")                \
    X(LEADER_OFFSET, "leveld_leader_journal_bytes", GAUGE, AS_IT_IS,           \
      "How much of that journal was durable.")                                 \
    X(LEADER_DURABLE, "leveld_leader_durable_sequence", GAUGE, AS_IT_IS,       \
      "Sequence of the last write that was durable there.")                    \
    X(LEADER_SEQUENCE, "leveld_leader_sequence", GAUGE, AS_IT_IS,              \
      "Sequence of the last write there.")                                     \
    X(LEADER_MANIFEST, "leveld_leader_manifest_number", GAUGE, AS_IT_IS,       \
      "Number of the MANIFEST there.")                                         \
    X(LEADER_MANIFEST_BYTES, "leveld_leader_manifest_bytes", GAUGE, AS_IT_IS,  \
      "Length of the MANIFEST there.")                                         \
    X(LEADER_SLOT_LOST, "leveld_leader_slot_lost", GAUGE, AS_IT_IS,            \
      "Whether the leader has let go of journals that this node needs.")       \
    X(LEADER_AGE, "leveld_leader_heard_age_seconds", GAUGE, MICROSECONDS,      \
      "Time since the leader was heard.")                                      \
    X(FOLLOWING_LAG_KNOWN, "leveld_following_lag_known", GAUGE, AS_IT_IS,      \
      "Whether the leader was heard since this node began to follow it.")      \
    X(FOLLOWING_LAG_SEQUENCES, "leveld_following_lag_sequences", GAUGE,        \
      AS_IT_IS, "Sequences that it lacks of what the leader had.")             \
    X(FOLLOWING_LAG_BYTES, "leveld_following_lag_bytes", GAUGE, AS_IT_IS,      \
      "Bytes of journals that it lacks of what was durable there.")            \
    X(FOLLOWING_LAG, "leveld_following_lag_seconds", GAUGE, MICROSECONDS,      \
      "Time since it had all that the leader had.")                            \
    X(FOLLOWING_CONNECTS, "leveld_following_connects_total", COUNTER,          \
      AS_IT_IS, "Times that it reached its leader.")                           \
    X(FOLLOWING_FAILURES, "leveld_following_failures_total", COUNTER,          \
      AS_IT_IS, "Times that it had to wait and try again.")                    \
    X(FOLLOWING_REBUILDS, "leveld_following_rebuilds_total", COUNTER,          \
      AS_IT_IS, "Times that its folder was to be made anew.")                  \
    X(FOLLOWING_JOURNAL_BYTES,                                                 \
      "leveld_following_received_journal_bytes_total", COUNTER, AS_IT_IS,      \
      "Bytes of journals that came.")                                          \
    X(FOLLOWING_SEALED, "leveld_following_journals_sealed_total", COUNTER,     \
      AS_IT_IS, "Journals that it has whole.")                                 \
    X(FOLLOWING_SYNCS, "leveld_following_syncs_total", COUNTER, AS_IT_IS,      \
      "Syncs of its journals.")                                                \
    X(FOLLOWING_ACKS, "leveld_following_acks_total", COUNTER, AS_IT_IS,        \
      "Times that it told its leader where it stands.")                        \
    X(FOLLOWING_EDITS, "leveld_following_edits_total", COUNTER, AS_IT_IS,      \
      "Version edits of the leader that it has taken.")                        \
    X(FOLLOWING_INSTALLS, "leveld_following_installs_total", COUNTER,          \
      AS_IT_IS, "Runs of them that were taken at a time.")                     \
    X(FOLLOWING_BUILT, "leveld_following_tables_built_total", COUNTER,         \
      AS_IT_IS, "Tables that it wrote itself, the same as the leader has.")    \
    X(FOLLOWING_FETCHED, "leveld_following_tables_fetched_total", COUNTER,     \
      AS_IT_IS, "Tables that it fetched while it streams.")                    \
    X(FOLLOWING_FETCHED_BYTES, "leveld_following_fetched_table_bytes_total",   \
      COUNTER, AS_IT_IS, "Bytes of them.")                                     \
    X(FOLLOWING_MISMATCHES, "leveld_following_digest_mismatches_total",        \
      COUNTER, AS_IT_IS,                                                       \
      "Tables, built or fetched, that were not what the leader has.")          \
    X(FOLLOWING_STALLS, "leveld_following_stalls_total", COUNTER, AS_IT_IS,    \
      "Times that journals had to wait for version edits.")                    \
    X(REBUILDING, "leveld_rebuilding", GAUGE, AS_IT_IS,                        \
      "Whether the folder is made anew now; the next ones are else of the "    \
      "last time.")                                                            \
    X(REBUILD_DIGESTED, "leveld_rebuild_digested_files", GAUGE, AS_IT_IS,      \
      "Files of the folder that were compared by digest.")                     \
    X(REBUILD_TABLES, "leveld_rebuild_tables", GAUGE, AS_IT_IS,                \
      "Tables that the leader has, those that were here, and those that "      \
      "came.")                                                                 \
    X(REBUILD_BYTES, "leveld_rebuild_bytes", GAUGE, AS_IT_IS,                  \
      "Bytes of tables to fetch, and those that have come.")                   \
    X(REBUILD_ASIDE_FILES, "leveld_rebuild_diverged_files", GAUGE, AS_IT_IS,   \
      "Files that are set aside.")                                             \
    X(REBUILD_ASIDE_ENTRIES, "leveld_rebuild_diverged_entries", GAUGE,         \
      AS_IT_IS, "Entries that are set aside out of tables.")                   \
    X(REBUILD_TIME, "leveld_rebuild_seconds", GAUGE, MICROSECONDS,             \
      "How long it takes until now, or took.")                                 \
    X(DIVERGED_REWINDS, "leveld_diverged_rewinds", GAUGE, AS_IT_IS,            \
      "Times that the node gave up what it alone had, of which some is kept.") \
    X(DIVERGED_FILES, "leveld_diverged_files", GAUGE, AS_IT_IS,                \
      "Files that are kept of it until somebody removes them.")                \
    X(DIVERGED_BYTES, "leveld_diverged_bytes", GAUGE, AS_IT_IS,                \
      "Bytes of them.")                                                        \
    X(SCRUB_RATE, "leveld_scrub_rate_bytes", GAUGE, AS_IT_IS,                  \
      "Bytes a second that the scrub reads at most.")                          \
    X(SCRUB_RUNNING, "leveld_scrub_running", GAUGE, AS_IT_IS,                  \
      "Whether the scrub is in the middle of a pass.")                         \
    X(SCRUB_FILES, "leveld_scrubbed_files_total", COUNTER, AS_IT_IS,           \
      "Tables and sealed journals that the scrub has read.")                   \
    X(SCRUB_BYTES, "leveld_scrubbed_bytes_total", COUNTER, AS_IT_IS,           \
      "Bytes of them.")                                                        \
    X(SCRUB_MISMATCHES, "leveld_scrub_mismatches_total", COUNTER, AS_IT_IS,    \
      "Files of them that were not what they should be.")                      \
    X(SCRUB_FAILURES, "leveld_scrub_failures_total", COUNTER, AS_IT_IS,        \
      "Files that the scrub could not look at.")                               \
    X(SCRUB_PASSES, "leveld_scrub_passes_total", COUNTER, AS_IT_IS,            \
      "Passes over all files that came to their end, since the folder was "    \
      "made.")                                                                 \
    X(SCRUB_LAST, "leveld_scrub_last_pass_time_seconds", GAUGE, MICROSECONDS,  \
      "When the last of them did, since 1970; 0: none has.")                   \
    X(SCRUB_DURATION, "leveld_scrub_last_pass_seconds", GAUGE, MICROSECONDS,   \
      "How long it took.")                                                     \
    X(HEAL_SUSPECTED, "leveld_suspected_tables", GAUGE, AS_IT_IS,              \
      "Tables that may be damaged and are to be looked at.")                   \
    X(HEAL_DAMAGED, "leveld_damaged_tables", GAUGE, AS_IT_IS,                  \
      "Tables that are damaged and not healed yet.")                           \
    X(HEAL_FOUND, "leveld_damaged_tables_found_total", COUNTER, AS_IT_IS,      \
      "Tables that were found damaged.")                                       \
    X(HEAL_HEALED, "leveld_healed_tables_total", COUNTER, AS_IT_IS,            \
      "Damaged tables that another node had a sound copy of.")                 \
    X(HEAL_FAILURES, "leveld_heal_failures_total", COUNTER, AS_IT_IS,          \
      "Times that no node gave a sound copy of a damaged table.")              \
    X(HEAL_DISCARDED, "leveld_heal_discarded_total", COUNTER, AS_IT_IS,        \
      "Copies of other nodes that were not sound, and thrown away.")           \
    X(HEAL_BYTES, "leveld_heal_fetched_bytes_total", COUNTER, AS_IT_IS,        \
      "Bytes of tables fetched to heal.")                                      \
    X(MEMTABLE_BYTES, "leveld_memtable_bytes", GAUGE, AS_IT_IS,                \
      "Memory of the memtable.")                                               \
    X(IMMUTABLES, "leveld_immutable_memtables", GAUGE, AS_IT_IS,               \
      "Memtables that wait for their flush.")                                  \
    X(IMMUTABLE_BYTES, "leveld_immutable_memtable_bytes", GAUGE, AS_IT_IS,     \
      "Memory of the memtables that wait for their flush.")                    \
    X(WRITES, "leveld_writes_total", COUNTER, AS_IT_IS,                        \
      "Write requests committed.")                                             \
    X(WRITE_OPERATIONS, "leveld_write_operations_total", COUNTER, AS_IT_IS,    \
      "Puts and deletes in them.")                                             \
    X(WRITE_BYTES, "leveld_write_user_bytes_total", COUNTER, AS_IT_IS,         \
      "Bytes of keys and values in them.")                                     \
    X(WRITE_GROUPS, "leveld_write_groups_total", COUNTER, AS_IT_IS,            \
      "Commits: groups of writes with one journal write each.")                \
    X(WRITE_QUEUE, "leveld_write_queue_length", GAUGE, AS_IT_IS,               \
      "Writes that wait to be committed.")                                     \
    X(WRITE_QUEUE_BYTES, "leveld_write_queue_bytes", GAUGE, AS_IT_IS,          \
      "Bytes of the writes that wait to be committed.")                        \
    X(GETS, "leveld_gets_total", COUNTER, AS_IT_IS, "Reads of single keys.")   \
    X(CURSORS, "leveld_cursors", GAUGE, AS_IT_IS, "Cursors that are open.")    \
    X(SNAPSHOTS, "leveld_snapshots", GAUGE, AS_IT_IS,                          \
      "Snapshots that are held.")                                              \
    X(FLUSHES, "leveld_flushes_total", COUNTER, AS_IT_IS,                      \
      "Memtables written to tables.")                                          \
    X(FLUSH_BYTES, "leveld_flush_bytes_total", COUNTER, AS_IT_IS,              \
      "Bytes of the tables that flushes wrote.")                               \
    X(COMPACTIONS, "leveld_compactions_total", COUNTER, AS_IT_IS,              \
      "Compactions.")                                                          \
    X(TRIVIAL_MOVES, "leveld_trivial_moves_total", COUNTER, AS_IT_IS,          \
      "Tables moved down a level as they are.")                                \
    X(COMPACTIONS_RUNNING, "leveld_compactions_running", GAUGE, AS_IT_IS,      \
      "Compactions under way.")                                                \
    X(PENDING_BYTES, "leveld_compaction_pending_bytes", GAUGE, AS_IT_IS,       \
      "About how much is to be merged until nothing is due.")                  \
    X(MERGE_RATE, "leveld_compaction_bytes_per_second", GAUGE, AS_IT_IS,       \
      "What compactions merged lately; 0: none yet.")                          \
    X(PENDING_SECONDS, "leveld_compaction_pending_seconds", GAUGE, AS_IT_IS,   \
      "Time for the pending bytes at that rate.")                              \
    X(WRITE_AMPLIFICATION, "leveld_write_amplification_ratio", GAUGE,          \
      AS_IT_IS, "Bytes written to disk for each byte of user data.")           \
    X(STALLS, "leveld_stalls_total", COUNTER, AS_IT_IS,                        \
      "Groups of writes held back, by cause.")                                 \
    X(STALL_TIME, "leveld_stall_seconds_total", COUNTER, MICROSECONDS,         \
      "Time that groups of writes were held back, by cause.")                  \
    X(STOPPED, "leveld_writes_stopped", GAUGE, AS_IT_IS,                       \
      "Whether writes wait for a flush or a compaction.")                      \
    X(CACHE_HITS, "leveld_cache_hits_total", COUNTER, AS_IT_IS,                \
      "Look-ups that the cache answered.")                                     \
    X(CACHE_MISSES, "leveld_cache_misses_total", COUNTER, AS_IT_IS,            \
      "Look-ups that the cache did not answer.")                               \
    X(BLOCK_CACHE, "leveld_block_cache_bytes", GAUGE, AS_IT_IS,                \
      "Bytes in the block cache.")                                             \
    X(BLOCK_CACHE_CAPACITY, "leveld_block_cache_capacity_bytes", GAUGE,        \
      AS_IT_IS, "Bytes that the block cache may hold.")                        \
    X(ROW_CACHE, "leveld_row_cache_bytes", GAUGE, AS_IT_IS,                    \
      "Bytes in the row cache.")                                               \
    X(ROW_CACHE_CAPACITY, "leveld_row_cache_capacity_bytes", GAUGE, AS_IT_IS,  \
      "Bytes that the row cache may hold.")                                    \
    X(OPEN_TABLES, "leveld_open_tables", GAUGE, AS_IT_IS,                      \
      "Tables that are open.")                                                 \
    X(OPEN_TABLES_MAX, "leveld_open_tables_max", GAUGE, AS_IT_IS,              \
      "Tables that may be open.")                                              \
    X(TABLE_MEMORY, "leveld_table_pinned_bytes", GAUGE, AS_IT_IS,              \
      "Memory of the open tables' indexes and filters.")                       \
    X(TASKS, "leveld_tasks", GAUGE, AS_IT_IS,                                  \
      "Tasks of /v1/admin that wait or run.")                                  \
    X(TASKS_ENDED, "leveld_tasks_ended_total", COUNTER, AS_IT_IS,              \
      "Tasks that ended, cancelled ones too.")                                 \
    X(TASKS_FAILED, "leveld_tasks_failed_total", COUNTER, AS_IT_IS,            \
      "Tasks that failed.")                                                    \
    X(BACKUPS, "leveld_backups", GAUGE, AS_IT_IS,                              \
      "Backups that are streamed.")                                            \
    X(BACKUPS_BEGUN, "leveld_backups_begun_total", COUNTER, AS_IT_IS,          \
      "Backups that were begun.")                                              \
    X(BACKUP_BYTES, "leveld_backup_bytes_total", COUNTER, AS_IT_IS,            \
      "Bytes of backups that were streamed.")                                  \
    X(WAITING, "leveld_waiting_requests", GAUGE, AS_IT_IS,                     \
      "Requests that wait for the sequence they ask for.")                     \
    X(DISK_FREE, "leveld_disk_free_bytes", GAUGE, AS_IT_IS,                    \
      "Free space of the folder's file system.")                               \
    X(DISK_RESERVE, "leveld_disk_reserve_bytes", GAUGE, AS_IT_IS,              \
      "Free space below which the node is not ready.")                         \
    X(START_TIME, "process_start_time_seconds", GAUGE, AS_IT_IS,               \
      "When the node was started, in seconds since 1970.")                     \
    X(CPU, "process_cpu_seconds_total", COUNTER, MICROSECONDS,                 \
      "CPU time of the process.")                                              \
    X(CPU_BY_MODE, "leveld_cpu_seconds_total", COUNTER, MICROSECONDS,          \
      "CPU time of the process by mode.")                                      \
    X(RESIDENT, "process_resident_memory_bytes", GAUGE, AS_IT_IS,              \
      "Resident memory of the process.")                                       \
    X(RESIDENT_MAX, "leveld_resident_memory_max_bytes", GAUGE, AS_IT_IS,       \
      "The most resident memory there was.")                                   \
    X(OPEN_FILES, "process_open_fds", GAUGE, AS_IT_IS,                         \
      "File descriptors that are open.")                                       \
    X(OPEN_FILES_MAX, "process_max_fds", GAUGE, AS_IT_IS,                      \
      "File descriptors that may be open.")                                    \
    X(THREADS, "leveld_threads", GAUGE, AS_IT_IS, "Threads of the process.")

enum api_family_id {
    API_FAMILY_NONE, /* of what is not shown there */
#define API_FAMILY_ENUM(id, name, type, unit, help) API_FAMILY_##id,
    API_FAMILY_LIST(API_FAMILY_ENUM)
#undef API_FAMILY_ENUM
    API_FAMILY_END
};

struct api_family {
    const char *name;
    const char *help; /* one line, without backslashes */
    enum api_family_type type;
    enum api_unit unit;
};

/* id is between NONE and END. */
const struct api_family *api_family_get(enum api_family_id id);

/* "counter", "gauge", "histogram" */
const char *api_family_type_text(enum api_family_type type);

#endif
