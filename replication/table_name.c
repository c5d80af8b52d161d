#include "replication/table_name.h"

#include "storage/version/file_names.h"

bool repl_is_table_name(const char *name, uint64_t *out_number)
{
    enum ldb_file_type type = ldb_file_name_parse(name, out_number);

    return type == LDB_FILE_TABLE || type == LDB_FILE_TABLE_SST;
}
