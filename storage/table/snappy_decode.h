/*
 * Uncompressing snappy's raw format (docs/formats.md), as much of it at a time
 * as is wanted: a lookup needs a block up to its key alone.
 *
 * The bytes are foreign. What is accepted, and what comes out, is what
 * libsnappy accepts and gives; fuzz/fuzz_snappy_decode.c holds both against
 * each other. One difference: a literal of 4 GiB, whose length libsnappy wraps
 * to 0, is refused, as Go's decoder refuses it; no compressor writes one.
 * docs/decisions/0014-own-snappy-decoder.md says why it is here.
 *
 * Thread-safety: a decoder belongs to one thread.
 */
#ifndef STORAGE_TABLE_SNAPPY_DECODE_H
#define STORAGE_TABLE_SNAPPY_DECODE_H

#include "storage/base/reader.h"

/* Bytes of room behind the plain ones with which all of them are decoded at
 * full speed; without it the last so many are copied with care. */
#define LDB_SNAPPY_SLACK 80

/* Private, but for what ldb_snappy_decoder_len() gives. */
struct ldb_snappy_decoder {
    const uint8_t *stored; /* the next element */
    const uint8_t *stored_end;
    uint8_t *plain;
    uint8_t *next; /* behind what is decoded */
    uint8_t *plain_end;
    uint8_t *room_end; /* what is before may be overwritten with anything */
};

/*
 * To decode compressed into plain_len bytes at plain; both borrowed as long as
 * the decoder is used. room_size >= plain_len: bytes that may be written to.
 * False when compressed does not begin with plain_len.
 */
LDB_MUST_CHECK bool ldb_snappy_decoder_init(struct ldb_snappy_decoder *decoder,
                                            struct ldb_slice compressed,
                                            size_t plain_len, uint8_t *plain,
                                            size_t room_size);

/*
 * Decodes until at least the first len bytes are there; len <= plain_len. With
 * len = plain_len also that nothing follows. False when compressed is damaged:
 * the decoder must not be used again.
 */
LDB_MUST_CHECK bool ldb_snappy_decode(struct ldb_snappy_decoder *decoder,
                                      size_t len);

/* How many bytes are there. */
static inline size_t
ldb_snappy_decoder_len(const struct ldb_snappy_decoder *decoder)
{
    return (size_t)(decoder->next - decoder->plain);
}

#endif
