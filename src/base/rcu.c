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

static _Thread_local bool is_online;
static _Thread_local struct retired *gathered; /* an online reader's; NULL: nothing */

static void free_retired(struct rcu_head *head)
{
    struct retired *r = (struct retired *)head;
    for (unsigned i = 0; i < r->n; i++)
        r->items[i].fn(r->items[i].p);
    free(r);
}

static void hand_over(void)
{
    if (gathered)
        urcu_qsbr_call_rcu(&gathered->head, free_retired);
    gathered = NULL;
}

static struct retired *retired_new(unsigned max)
{
    struct retired *r = xmalloc(sizeof *r + max * sizeof r->items[0]);
    r->n = 0;
    return r;
}

void rcu_retire(void *p, void (*fn)(void *p))
{
    if (!gathered)
        gathered = retired_new(is_online ? GATHERED_MAX : 1);
    gathered->items[gathered->n].p = p;
    gathered->items[gathered->n].fn = fn;
    gathered->n++;
    if (!is_online || gathered->n == GATHERED_MAX)
        hand_over();
}

void rcu_thread_init(void)
{
    urcu_qsbr_register_thread();
    is_online = true;
}

void rcu_thread_done(void)
{
    hand_over();
    is_online = false;
    urcu_qsbr_unregister_thread();
}

void rcu_quiescent(void)
{
    urcu_qsbr_quiescent_state();
}

void rcu_offline(void)
{
    hand_over();
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
    hand_over();
    urcu_qsbr_barrier();
}
