/* A worker: one thread with its own libuv loop, random numbers, metric shard and RCU membership.
 *
 * Nothing of a worker is touched by another thread except through worker_post(). While a worker
 * waits for events it is offline for RCU; every callback that reads published data brackets its
 * work with worker_enter() and worker_leave() (they nest). */
#pragma once

#include "base/err.h"
#include "base/rand.h"
#include "base/rcu.h"

#include <pthread.h>
#include <stdbool.h>
#include <uv.h>

#define WORKERS_MAX 128

struct worker_call;

struct worker {
    unsigned index; /* 0 .. n-1 */
    uv_loop_t loop;
    struct rand rand;
    unsigned depth; /* of worker_enter() */
    uv_async_t wake;
    pthread_t thread;
    pthread_mutex_t lock; /* of calls */
    struct worker_call *calls, **calls_tail;
    bool running;
};

/* Starts the thread; it runs until worker_stop(). */
int worker_start(struct worker *w, unsigned index, struct err *e);

/* Runs fn(w, arg) on the worker's thread, in order. Any thread. */
void worker_post(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg);
/* The same, and waits until it has run. Not from the worker itself. */
void worker_call_wait(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg);
/* Waits until the worker's loop has let go of the handles that earlier calls closed: libuv ends
 * closing before it hears of another call. Not from the worker itself. */
void worker_settle(struct worker *w);

/* Closes what is left in the loop, ends the thread and frees what the worker owns. */
void worker_stop(struct worker *w);

static inline void worker_enter(struct worker *w)
{
    if (w->depth++ == 0)
        rcu_online();
}

static inline void worker_leave(struct worker *w)
{
    if (--w->depth == 0)
        rcu_offline();
}
