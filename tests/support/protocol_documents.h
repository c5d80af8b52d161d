/*
 * One of each of the documents that nodes exchange, as its text stands on the
 * wire: every member has another value, and none is zero.
 */
#ifndef TESTS_SUPPORT_PROTOCOL_DOCUMENTS_H
#define TESTS_SUPPORT_PROTOCOL_DOCUMENTS_H

#define PROTOCOL_CLUSTER "000102030405060708090a0b0c0d0e0f"
#define PROTOCOL_NODE    "101112131415161718191a1b1c1d1e1f"
#define PROTOCOL_DIGEST  "f0e0d0c0b0a090807060504030201000"

/* Journals of two documents. */
#define PROTOCOL_JOURNALS                                                      \
    "\"journals\":["                                                           \
    "{\"number\":7,\"bytes\":100,\"sealed\":true,\"archived\":true,"           \
    "\"digest\":\"" PROTOCOL_DIGEST "\",\"first\":1,\"last\":20},"             \
    "{\"number\":9,\"bytes\":101,\"sealed\":true,\"archived\":false,"          \
    "\"first\":21,\"last\":30},"                                               \
    "{\"number\":12,\"bytes\":0,\"sealed\":false,\"archived\":false,"          \
    "\"first\":31,\"last\":30}]"

#define PROTOCOL_STATE                                                         \
    "{\"protocol\":1,\"cluster_id\":\"" PROTOCOL_CLUSTER "\","                 \
    "\"node_id\":\"" PROTOCOL_NODE "\",\"role\":\"follower\","                 \
    "\"leader\":\"http://leader:4100\","                                       \
    "\"epochs\":[{\"number\":1,\"id\":\"00000000000000ff\","                   \
    "\"previous_last\":0,\"base\":0,\"first_journal\":3},"                     \
    "{\"number\":2,\"id\":\"fedcba9876543210\",\"previous_last\":10,"          \
    "\"base\":4294967306,\"first_journal\":8}],"                               \
    "\"manifest\":{\"number\":5,\"bytes\":1234}," PROTOCOL_JOURNALS ","        \
    "\"durable\":{\"journal\":9,\"offset\":101,\"sequence\":30},"              \
    "\"last_sequence\":33,\"clock_us\":1700000000000000,"                      \
    "\"table_options\":{\"bloom_bits\":10,"                                    \
    "\"comparator\":\"leveldb.BytewiseComparator\",\"filter_base_lg\":11,"     \
    "\"block_bytes\":4096,\"block_restart_interval\":16,"                      \
    "\"compress\":true}}"

#define PROTOCOL_ACK                                                           \
    "{\"protocol\":1,\"node_id\":\"" PROTOCOL_NODE "\","                       \
    "\"url\":\"http://follower:4100\","                                        \
    "\"epoch\":{\"number\":2,\"id\":\"fedcba9876543210\"},"                    \
    "\"written\":{\"journal\":9,\"offset\":101,\"sequence\":30},"              \
    "\"synced\":{\"journal\":9,\"offset\":50,\"sequence\":25},"                \
    "\"applied\":{\"journal\":9,\"offset\":100,\"sequence\":29},"              \
    "\"manifest\":{\"number\":5,\"bytes\":1200},\"state\":\"streaming\","      \
    "\"tables\":{\"built\":3,\"fetched\":4,\"mismatched\":2}}"

#define PROTOCOL_HEARTBEAT                                                     \
    "{\"protocol\":1,\"epoch\":{\"number\":2,\"id\":\"fedcba9876543210\"},"    \
    "\"durable\":{\"journal\":9,\"offset\":101,\"sequence\":30},"              \
    "\"last_sequence\":33,\"manifest\":{\"number\":5,\"bytes\":1234},"         \
    "\"clock_us\":1700000000000000,\"slot_lost\":true,\"awaited\":true}"

#define PROTOCOL_REQUEST                                                       \
    "{\"protocol\":1,\"node_id\":\"" PROTOCOL_NODE "\",\"id\":17,"             \
    "\"release\":true}"

#define PROTOCOL_CHECKPOINT                                                    \
    "{\"protocol\":1,\"id\":17,\"manifest\":{\"number\":5,\"bytes\":1234},"    \
    "\"log_number\":9,\"last_sequence\":20,"                                   \
    "\"files\":[{\"name\":\"000004.sst\",\"bytes\":2000,"                      \
    "\"digest\":\"" PROTOCOL_DIGEST "\"},"                                     \
    "{\"name\":\"000011.ldb\",\"bytes\":2001}]," PROTOCOL_JOURNALS "}"

#endif
