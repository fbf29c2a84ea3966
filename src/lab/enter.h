/* Processes inside of a pod or node, from outside of it. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>
#include <sys/types.h>

/* Starts a program in all namespaces of process `pid` (and its root folder), with the three given
 * descriptors as its input and outputs (-1: the caller's own for 0 to 2), the environment of a
 * pod's container and its name as HOSTNAME. Returns the process to wait for; its exit status is
 * that of the program (127: not found, 126: could not be entered, with a sentence on the third
 * descriptor). The caller must have a single thread. */
pid_t enter_start(pid_t pid, const char *const *argv, const int fds[3], struct err *e);

/* Runs it to its end, with its output kept. */
struct ran {
    int status; /* exit status; 128 + signal */
    int64_t ns;
    struct strbuf out, err;
};

#define ENTER_OUTPUT_MAX (4 << 20) /* of each output; more ends the program */

int enter_run(pid_t pid, const char *const *argv, int64_t timeout_ns, struct ran *ret,
              struct err *e);
void ran_done(struct ran *r);

/* An exit status from what waitpid() gave. */
int enter_status(int wait_status);
