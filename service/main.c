/* argv -> subcommand; nothing else. */
#include <stdio.h>
#include <string.h>

#include "service/cmd_dump.h"
#include "service/cmd_health.h"
#include "service/cmd_offline.h"
#include "service/cmd_serve.h"
#include "service/version.h"

static int print_version(int argc, char *const *argv)
{
    (void)argc;
    (void)argv;
    printf("leveld %s (%s)\n", SVC_VERSION, SVC_COMMIT);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char *const *argv);
    const char *help;
} commands[] = {
    {"serve", svc_cmd_serve, "serve a database over HTTP (serve --help)"},
    {"health", svc_cmd_health, "ask a server whether it is fit to serve"},
    {"check", svc_cmd_check, "check every byte of a closed database"},
    {"dump", svc_cmd_dump, "list what a folder, or one file of it, holds"},
    {"repair", svc_cmd_repair, "make a damaged folder one that opens"},
    {"stats", svc_cmd_stats, "show levels, sequence and files of a folder"},
    {"compact", svc_cmd_compact, "merge all tables of a closed database"},
    {"version", print_version, "print version and commit"},
};

static void print_usage(FILE *out)
{
    fputs("Usage: leveld COMMAND [ARGUMENT...]\n\n", out);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
}

int main(int argc, char **argv)
{
    const char *name = argc < 2 ? "" : argv[1];

    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        strcmp(name, "help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    }
    print_usage(stderr);
    return 2;
}
