/* A pod's own root: this machine's folders, read-only, with its own /etc, /tmp, /run, /root and
 * /proc.
 *
 * So programs of this machine run unchanged, and yet each pod has the /etc/resolv.conf, /etc/hosts
 * and volumes that are its own. /etc is a folder of links to this machine's files, except for those
 * that name service reads. Programs of the lab are in /.lab/bin, which stands first in PATH. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct rootfs_bind {
    const char *from, *to; /* `to` is absolute, inside of the new root */
    bool file, writable;
};

struct rootfs {
    const char *stage;    /* an empty folder to build it on */
    const char *program;  /* this program's file: /.lab/bin/signpost */
    const char *hostname; /* for /etc/hostname */
    const struct rootfs_bind *binds;
    size_t n_binds;
};

/* In a fresh mount namespace (and PID namespace, for /proc), by its only thread. Afterwards the old
 * root is gone for this process and its children. */
int rootfs_enter(const struct rootfs *r, struct err *e);
