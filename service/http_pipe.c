#include "service/http_pipe.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "storage/base/status.h"

enum ldb_status svc_http_pipe_open(struct svc_http_server *server,
                                   struct ldb_error *err, int *out_socket)
{
    enum ldb_status s;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return ldb_error_set_errno(err, errno, "socketpair");
    s = svc_http_server_add(server, ends[0], err);
    if (s != LDB_OK) {
        close(ends[1]);
        return s;
    }
    *out_socket = ends[1];
    return LDB_OK;
}
