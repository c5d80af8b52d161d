/*
 * Runs a fuzz target without a fuzzer: once over each file named, and over
 * each file of each folder named. Exits 1 when a file cannot be read, so that
 * an empty or missing corpus fails the test instead of passing it.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct stat st;
    int result = 1;

    if (file == NULL || fstat(fileno(file), &st) != 0)
        goto out;
    /* The exact size, so that reading past it is seen by the sanitizer. */
    bytes = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
    if (bytes == NULL)
        goto out;
    len = fread(bytes, 1, (size_t)st.st_size, file);
    if (len != (size_t)st.st_size)
        goto out;
    (void)LLVMFuzzerTestOneInput(bytes, len);
    result = 0;
out:
    if (result != 0)
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
    free(bytes);
    if (file != NULL)
        (void)fclose(file);
    return result;
}

static int run_folder(const char *path, size_t *ran)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    int failed = 0;

    if (folder == NULL) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    while ((entry = readdir(folder)) != NULL) {
        char name[4096];

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        failed |= run_file(name);
        (*ran)++;
    }
    (void)closedir(folder);
    return failed;
}

int main(int argc, char **argv)
{
    size_t ran = 0;
    int failed = 0;

    for (int i = 1; i < argc; i++) {
        struct stat st;

        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
            failed |= run_folder(argv[i], &ran);
        } else {
            failed |= run_file(argv[i]);
            ran++;
        }
    }
    (void)printf("%zu inputs\n", ran);
    return failed != 0 || ran == 0 ? 1 : 0;
}
