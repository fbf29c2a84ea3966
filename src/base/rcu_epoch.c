/* The second filling of rcu.h: epochs in plain C11 atomics, so that ThreadSanitizer understands the
 * happens-before edges. Correct, but slower on the writer's side; used by the tsan build only. */
#include "base/rcu.h"

#include "base/clock.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

/* A reader's epoch: 0 when offline, else the global epoch it saw at its last quiescent state. */
struct reader {
    _Atomic uint64_t epoch;
    struct reader *next;
};

struct retired {
    void *p;
    void (*fn)(void *p);
    uint64_t epoch;
    struct retired *next;
};

static _Atomic uint64_t global_epoch = 1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct reader *readers;
static struct retired *retired_list;
static _Thread_local struct reader *me;

void rcu_thread_init(void)
{
    me = xcalloc(1, sizeof *me);
    pthread_mutex_lock(&lock);
    me->next = readers;
    readers = me;
    pthread_mutex_unlock(&lock);
    rcu_online();
}

void rcu_thread_done(void)
{
    pthread_mutex_lock(&lock);
    struct reader **p = &readers;
    while (*p != me)
        p = &(*p)->next;
    *p = me->next;
    pthread_mutex_unlock(&lock);
    free(me);
    me = NULL;
}

void rcu_quiescent(void)
{
    atomic_store(&me->epoch, atomic_load(&global_epoch));
}

void rcu_online(void)
{
    rcu_quiescent();
}

void rcu_offline(void)
{
    atomic_store(&me->epoch, 0);
}

/* The oldest epoch that a reader may still be in. Caller holds the lock. */
static uint64_t oldest_reader(void)
{
    uint64_t oldest = UINT64_MAX;
    for (struct reader *r = readers; r; r = r->next) {
        uint64_t e = atomic_load(&r->epoch);
        if (e && e < oldest)
            oldest = e;
    }
    return oldest;
}

void rcu_synchronize(void)
{
    uint64_t want = atomic_fetch_add(&global_epoch, 1) + 1;
    for (;;) {
        pthread_mutex_lock(&lock);
        bool passed = oldest_reader() >= want;
        pthread_mutex_unlock(&lock);
        if (passed)
            return;
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    }
}

static void free_passed(void)
{
    struct retired *ready = NULL;
    pthread_mutex_lock(&lock);
    uint64_t oldest = oldest_reader();
    for (struct retired **p = &retired_list; *p;) {
        struct retired *r = *p;
        if (r->epoch > oldest) {
            p = &r->next;
            continue;
        }
        *p = r->next;
        r->next = ready;
        ready = r;
    }
    pthread_mutex_unlock(&lock);
    while (ready) {
        struct retired *next = ready->next;
        ready->fn(ready->p);
        free(ready);
        ready = next;
    }
}

void rcu_retire(void *p, void (*fn)(void *p))
{
    struct retired *r = xmalloc(sizeof *r);
    *r = (struct retired){ .p = p, .fn = fn };
    r->epoch = atomic_fetch_add(&global_epoch, 1) + 1;
    pthread_mutex_lock(&lock);
    r->next = retired_list;
    retired_list = r;
    pthread_mutex_unlock(&lock);
    free_passed();
}

void rcu_gather(void)
{
}

bool rcu_has_gathered(void)
{
    return false;
}

void rcu_hand_over(void)
{
}

void rcu_barrier_all(void)
{
    rcu_synchronize();
    free_passed();
}
