#include "service/process_figures.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "storage/base/checked.h"
#include "storage/base/slice.h"

/* "SIZE RESIDENT ..." in pages: proc(5), /proc/pid/statm. */
static uint64_t read_resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    char line[256] = "";
    const char *resident;
    uint64_t pages = 0;

    if (file == NULL)
        return 0;
    resident =
        fgets(line, sizeof line, file) == NULL ? NULL : strchr(line, ' ');
    fclose(file);
    if (resident == NULL ||
        !ldb_parse_u64(ldb_slice_make(resident + 1, strcspn(resident + 1, " ")),
                       &pages))
        return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Entries of a folder of /proc, but "." and "..". */
static uint64_t count_entries(const char *path)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    uint64_t count = 0;

    if (folder == NULL)
        return 0;
    while ((entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static uint64_t to_us(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

void svc_process_figures_read(struct api_process_figures *out)
{
    struct rusage usage;
    struct rlimit files;

    out->resident_bytes = read_resident_bytes();
    out->open_files = count_entries("/proc/self/fd");
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        out->open_files_max = files.rlim_cur;
    out->threads = count_entries("/proc/self/task");
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        out->resident_max_bytes = (uint64_t)usage.ru_maxrss * 1024;
        out->cpu_user_us = to_us(usage.ru_utime);
        out->cpu_system_us = to_us(usage.ru_stime);
    }
}
