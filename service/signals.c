#include "service/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "storage/base/status.h"

static void fill_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

enum ldb_status svc_signals_open(struct ldb_error *err, int *out_fd)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;
    int failed;
    int fd;

    fill_set(&set);
    if (sigaction(SIGPIPE, &ignore, NULL) != 0)
        return ldb_error_set_errno(err, errno, "sigaction");
    failed = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (failed != 0)
        return ldb_error_set_errno(err, failed, "pthread_sigmask");
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return ldb_error_set_errno(err, errno, "signalfd");
    *out_fd = fd;
    return LDB_OK;
}

int svc_signals_take(int fd)
{
    struct signalfd_siginfo taken;

    if (read(fd, &taken, sizeof taken) != (ssize_t)sizeof taken)
        return 0;
    return (int)taken.ssi_signo;
}

void svc_signals_close(int fd)
{
    sigset_t set;

    if (fd < 0)
        return;
    close(fd);
    fill_set(&set);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
