/* How a server gives up what it does not need: user, capabilities, system calls, places to write.
 *
 * In two steps, both before the first thread is started: guard_begin() before anything of the
 * configuration is read, so that the first start and a reload may read the same files;
 * guard_finish() when it is known which folders will be written to. What the kernel or the
 * surroundings do not allow is told in one log line each, and the server goes on without it. */
#pragma once

#include "base/err.h"
#include "config/flags.h"

#include <stdint.h>

#define GUARD_FOLDERS_MAX 64 /* that may be written below */

struct guard {
    const char *user;          /* "NAME", "UID", "UID:GID"; NULL: stay */
    bool no_seccomp;           /* leave the filter of system calls out */
    bool runs_programs;        /* leave out whatever would keep other programs from running */
    struct flag_list writable; /* folders */
    uint64_t capabilities;     /* a set of bits, 1 << CAP_*, that is kept when it is there */
    int bounding, keep;        /* how guard_begin() fared, for guard_finish() to tell */
    bool read_only;            /* guard_finish() could limit writing */
};

/* The rows of a command's table of flags. */
#define GUARD_FLAGS(g)                                                                             \
    { "user", FLAG_STRING, &(g).user, "USER",                                                      \
      "Become that user, NAME or UID, with :GID if wanted, before the configuration is read." },   \
        { "no-seccomp", FLAG_BOOL, &(g).no_seccomp, NULL,                                          \
          "Do not limit the system calls that this process can make." },                           \
    {                                                                                              \
        "writable", FLAG_LIST, &(g).writable, "DIR,...",                                           \
            "Folders below which files may be written, besides that of the pidfile."               \
    }

/* Capabilities, then the user. Fails only where the user asked for cannot be had; pidfile (or NULL)
 * is made beforehand and given to that user. */
int guard_begin(struct guard *g, const char *pidfile, struct err *e);
/* Adds a folder to `writable`. After guard_finish() that is too late: a warning is logged when it
 * does not lie below one of them. */
void guard_let_write(struct guard *g, const char *folder);
/* The same for the folder that a file lies in. */
void guard_let_write_beside(struct guard *g, const char *file);
/* No new rights, no core files, the file system read-only but for g->writable and the folder of
 * pidfile (or NULL), the list of system calls. Tells what could not be had, of both steps. */
void guard_finish(struct guard *g, const char *pidfile);
