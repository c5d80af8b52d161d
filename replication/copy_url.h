/*
 * The URL of a copy of a leader's folder, which can be followed as a leader
 * can, and asked for nothing else (copy_peer.h):
 *
 *     files+http://HOST[:PORT]/PATH/   at a plain web server; https too
 *     files:/PATH                      a folder of this machine
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_COPY_URL_H
#define REPLICATION_COPY_URL_H

#include "storage/base/compiler.h"

/* One of the two, by how it begins. */
bool repl_copy_url_is(const char *url);
/* What the web server's folder is called, in url; NULL: it is none. */
const char *repl_copy_url_web(const char *url);
/* The folder's path, in url; NULL: it is none. */
const char *repl_copy_url_folder(const char *url);

#endif
