/*
 * Texts in the form that Go's library gives them: goleveldb's properties are
 * made of these, and programs read them (docs/library.md#properties).
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef STORAGE_BASE_GO_TEXT_H
#define STORAGE_BASE_GO_TEXT_H

#include "storage/base/buf.h"

/* Appends "0s", "1.5ms", "1m1.5s", "2h3m4s". NO_MEMORY, TOO_LARGE: buf's. */
LDB_MUST_CHECK enum ldb_status ldb_go_text_duration(struct ldb_buf *buf,
                                                    uint64_t microseconds);

/*
 * Appends bytes in double quotes, as Go's %q: escapes for what is not
 * printable UTF-8. From U+0800 on a code point that Unicode has not assigned
 * counts as printable, which Go knows better. NO_MEMORY, TOO_LARGE: buf's.
 */
LDB_MUST_CHECK enum ldb_status ldb_go_text_quote(struct ldb_buf *buf,
                                                 struct ldb_slice bytes);

#endif
