#include "tests/support/small_db.h"

#include "storage/include/ldb.h"
#include "tests/support/assert_ldb.h"

static void put(struct ldb_db *db, struct ldb_slice key, const char *value)
{
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_put(db, key, ldb_slice_str(value), false, &err, NULL),
                  &err);
}

void small_db_create(struct small_db *db)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *opened = NULL;

    temp_dir_create(&db->dir);
    (void)temp_dir_join(&db->dir, "db", db->path);
    ldb_options_init(&options);
    options.create_if_missing = true;
    assert_ldb_ok(ldb_open(db->path, &options, NULL, &err, &opened), &err);
    put(opened, ldb_slice_str("a"), "1");
    put(opened, ldb_slice_str("b"), "2");
    assert_ldb_ok(ldb_flush(opened, &err), &err);
    assert_ldb_ok(ldb_delete(opened, ldb_slice_str("a"), false, &err, NULL),
                  &err);
    put(opened, ldb_slice_make("\xff\0\x7f", 3), "");
    assert_ldb_ok(ldb_close(opened, &err), &err);
}

void small_db_remove(struct small_db *db)
{
    temp_dir_remove(&db->dir);
}
