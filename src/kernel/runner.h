/* A process of our own that runs one program, and nothing else, as often as it is asked to: made
 * before this process gives up the right to start programs, so that the right need not be kept.
 *
 * The program gets the environment of the moment when the runner was made, /dev/null as its input,
 * no descriptors of ours, and no new privileges. It has RUNNER_SECONDS and RUNNER_OUTPUT_MAX bytes;
 * then it is killed. The runner ends when the other end of its socket does. One question at a time;
 * any thread, but one at a time. */
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <sys/types.h>

#define RUNNER_SECONDS    60
#define RUNNER_OUTPUT_MAX 65536 /* bytes of standard output */
#define RUNNER_SAID_MAX   1024  /* bytes kept of standard error */
#define RUNNER_ASKED_MAX  65536 /* bytes of the variable that comes with each question */

struct runner;

struct runner_reply {
    int status; /* exit status, 128 + a signal, or negative: a negated errno or ERR_*: -ETIMEDOUT,
                 * ERR_LIMIT (output), -ENOENT (no such program) */
    size_t len; /* of output, which has a NUL behind it */
    char said[RUNNER_SAID_MAX + 1];
    char output[RUNNER_OUTPUT_MAX + 1];
};

/* env: "NAME=VALUE", n_env of them, and what this process's own has besides. Fails with -EPERM
 * where programs may not be started any more. */
int runner_new(const char *const *argv, const char *const *env, size_t n_env, struct runner **ret,
               struct err *e) must_check;
void runner_free(struct runner *r);    /* waits for its end, which is at once; NULL is fine */
int runner_fd(const struct runner *r); /* readable: there is a reply, or the runner has ended */
/* One more variable, "NAME=VALUE", for this run. 0 or a negated errno. */
int runner_ask(const struct runner *r, const char *variable) must_check;
/* 1: a reply; 0: not yet; -EPIPE: the runner has ended. */
int runner_take(const struct runner *r, struct runner_reply *ret);
