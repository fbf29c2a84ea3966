/* A sandbox: the namespaces of a pod (or node), and the process that holds them and looks after its
 * containers. That process is the first of a PID namespace of its own, so that nothing of the pod
 * outlives it: SIGTERM ends the containers and then itself, SIGKILL ends all at once. */
#pragma once

#include "base/err.h"
#include "lab/podspec.h"
#include "lab/rootfs.h"

#include <sys/types.h>

struct sandbox {
    const char *title;          /* for messages and process lists: "shop/foo" */
    const char *nodename;       /* what uname -n says */
    int netns;                  /* borrowed */
    const struct podspec *spec; /* NULL: nothing runs in it */
    const char *log_dir;        /* containers write to LOG_DIR/NAME.log */
    struct rootfs root;
};

/* An open /proc of the world outside, from before the lab had its own. */
extern int sandbox_outer_proc;

/* Starts it and waits until its containers have been started once. *ret_pid is the process in the
 * caller's numbers (its parent, who must reap it), *ret_outer in those of the world outside. */
int sandbox_start(const struct sandbox *s, pid_t *ret_pid, pid_t *ret_outer, struct err *e);
