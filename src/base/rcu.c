#include "base/rcu.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <urcu-qsbr.h>

#define GATHERED_MAX 62 /* about a kilobyte */

/* What one call of the library's takes along: such a call wakes a thread up, and costs more than
 * what it frees. */
struct retired {
    struct rcu_head head;
    unsigned n;
    struct {
        void *p;
        void (*fn)(void *p);
    } items[];
};

static _Thread_local bool is_online, gathers;
static _Thread_local struct retired *gathered; /* NULL: nothing */

static void free_retired(struct rcu_head *head)
{
    struct retired *r = (struct retired *)head;
    for (unsigned i = 0; i < r->n; i++)
        r->items[i].fn(r->items[i].p);
    free(r);
}

void rcu_hand_over(void)
{
    if (gathered)
        urcu_qsbr_call_rcu(&gathered->head, free_retired);
    gathered = NULL;
}

/* The library's thread is made with the first, not when memory may be short: it would end us. */
static struct retired *retired_new(unsigned max)
{
    (void)urcu_qsbr_get_default_call_rcu_data();
    struct retired *r = xmalloc(sizeof *r + max * sizeof r->items[0]);
    r->n = 0;
    return r;
}

void rcu_retire(void *p, void (*fn)(void *p))
{
    bool alone = !is_online && !gathers;
    if (!gathered)
        gathered = retired_new(alone ? 1 : GATHERED_MAX);
    gathered->items[gathered->n].p = p;
    gathered->items[gathered->n].fn = fn;
    gathered->n++;
    if (alone || gathered->n == GATHERED_MAX)
        rcu_hand_over();
}

void rcu_gather(void)
{
    gathers = true;
}

bool rcu_has_gathered(void)
{
    return gathered;
}

void rcu_thread_init(void)
{
    urcu_qsbr_register_thread();
    is_online = true;
}

void rcu_thread_done(void)
{
    rcu_hand_over();
    is_online = gathers = false;
    urcu_qsbr_unregister_thread();
}

void rcu_quiescent(void)
{
    urcu_qsbr_quiescent_state();
}

void rcu_offline(void)
{
    rcu_hand_over();
    is_online = false;
    urcu_qsbr_thread_offline();
}

void rcu_online(void)
{
    urcu_qsbr_thread_online();
    is_online = true;
}

void rcu_synchronize(void)
{
    urcu_qsbr_synchronize_rcu();
}

void rcu_barrier_all(void)
{
    rcu_hand_over();
    urcu_qsbr_barrier();
}
