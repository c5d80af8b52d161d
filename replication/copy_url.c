#include "replication/copy_url.h"

#include <string.h>

#define WEB    "files+"
#define FOLDER "files:/"

const char *repl_copy_url_web(const char *url)
{
    return strncmp(url, WEB, strlen(WEB)) == 0 ? url + strlen(WEB) : NULL;
}

const char *repl_copy_url_folder(const char *url)
{
    /* The slash is the path's. */
    return strncmp(url, FOLDER, strlen(FOLDER)) == 0 ? url + strlen(FOLDER) - 1
                                                     : NULL;
}

bool repl_copy_url_is(const char *url)
{
    return repl_copy_url_web(url) != NULL || repl_copy_url_folder(url) != NULL;
}
