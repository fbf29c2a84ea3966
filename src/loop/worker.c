#include "loop/worker.h"

#include "base/mem.h"
#include "base/metric.h"
#include "loop/loop.h"

#include <semaphore.h>
#include <stdbool.h>

struct worker_call {
    struct worker_call *next;
    void (*fn)(struct worker *w, void *arg);
    void *arg;
    sem_t *done; /* NULL: nobody waits */
};

static struct worker_call *take_calls(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    struct worker_call *list = w->calls;
    w->calls = NULL;
    w->calls_tail = &w->calls;
    pthread_mutex_unlock(&w->lock);
    return list;
}

static void run_calls(uv_async_t *wake)
{
    struct worker *w = wake->data;
    worker_enter(w);
    for (struct worker_call *c = take_calls(w), *next; c; c = next) {
        next = c->next;
        c->fn(w, c->arg);
        if (c->done)
            sem_post(c->done);
        free(c);
    }
    worker_leave(w);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    (void)metric_thread_init(); /* without a shard of its own it counts atomically */
    rcu_thread_init();
    rcu_offline();
    uv_run(&w->loop, UV_RUN_DEFAULT);
    rcu_online();
    rcu_thread_done();
    return NULL;
}

int worker_start(struct worker *w, unsigned index, struct err *e)
{
    *w = (struct worker){ .index = index };
    rand_init(&w->rand);
    pthread_mutex_init(&w->lock, NULL);
    w->calls_tail = &w->calls;
    int ret = uv_loop_init(&w->loop);
    if (ret < 0)
        return err_set(e, ret, "worker %u: event loop: %s", index, uv_strerror(ret));
    w->loop.data = w;
    w->wake.data = w;
    uv_async_init(&w->loop, &w->wake, run_calls);
    ret = pthread_create(&w->thread, NULL, worker_main, w);
    if (ret != 0)
        return err_set(e, -ret, "worker %u: thread: %s", index, err_str(-ret));
    w->running = true;
    return 0;
}

static void post(struct worker *w, void (*fn)(struct worker *, void *), void *arg, sem_t *done)
{
    struct worker_call *c = xmalloc(sizeof *c);
    *c = (struct worker_call){ .fn = fn, .arg = arg, .done = done };
    pthread_mutex_lock(&w->lock);
    *w->calls_tail = c;
    w->calls_tail = &c->next;
    pthread_mutex_unlock(&w->lock);
    uv_async_send(&w->wake);
}

void worker_post(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg)
{
    post(w, fn, arg, NULL);
}

void worker_call_wait(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg)
{
    sem_t done;
    sem_init(&done, 0, 0);
    post(w, fn, arg, &done);
    while (sem_wait(&done) != 0)
        ; /* EINTR */
    sem_destroy(&done);
}

static void nothing(struct worker *w, void *arg)
{
    (void)w, (void)arg;
}

void worker_settle(struct worker *w)
{
    worker_call_wait(w, nothing, NULL);
}

static void close_all(struct worker *w, void *arg)
{
    (void)arg;
    loop_close_handles(&w->loop);
}

void worker_stop(struct worker *w)
{
    if (!w->running)
        return;
    worker_post(w, close_all, NULL);
    pthread_join(w->thread, NULL);
    uv_loop_close(&w->loop);
    pthread_mutex_destroy(&w->lock);
    w->running = false;
}
