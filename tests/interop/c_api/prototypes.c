/*
 * LevelDB's header and ours in one file: the compiler refuses a function or
 * type that they declare unlike each other. Never run.
 */
#include <leveldb/c.h>

/* An enumerator cannot be declared twice; and LevelDB's export.h has it too. */
#define leveldb_no_compression     ours_no_compression
#define leveldb_snappy_compression ours_snappy_compression
#undef LEVELDB_EXPORT

#include "storage/include/leveldb/c.h"

#undef leveldb_no_compression
#undef leveldb_snappy_compression

_Static_assert((int)ours_no_compression == (int)leveldb_no_compression,
               "compression none");
_Static_assert((int)ours_snappy_compression == (int)leveldb_snappy_compression,
               "compression snappy");
