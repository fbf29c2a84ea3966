/* A program that prints credentials, as a kubeconfig file names it, with what it printed last.
 *
 * One for all who name the same program with the same arguments, so that a reload finds what was
 * there: its process (kernel/runner.h) is made when the first asks for it and stays until the end,
 * as it cannot be made any more once programs may not be started. Nothing blocks. One loop, its
 * thread. */
#pragma once

#include "source/exec_credential.h"

#include <uv.h>

#define EXEC_PLUGINS_MAX 64

struct exec_plugin;

/* Somebody who waits for credentials; told once, with NULL or with what went wrong. */
struct exec_waiter {
    void (*told)(void *ctx, const struct err *e);
    void *ctx;
    struct exec_waiter *next; /* the plugin's */
    bool waiting;             /* the plugin's */
};

/* Copies the configuration. */
int exec_plugin_get(const struct api_config *c, struct exec_plugin **ret, struct err *e) must_check;
/* Those that are good for now; NULL: they have to be asked for. Valid until the loop turns. */
const struct exec_credential *exec_plugin_credential(const struct exec_plugin *p);
/* Runs the program, if it is not running, and tells when it is done. */
void exec_plugin_ask(struct exec_plugin *p, uv_loop_t *loop, struct exec_waiter *w);
void exec_plugin_leave(struct exec_plugin *p, struct exec_waiter *w);
/* The server does not take them; those that are younger than a second are given another chance. */
void exec_plugin_refused(struct exec_plugin *p);
