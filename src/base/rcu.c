#include "base/rcu.h"

#include "base/mem.h"

#include <stdlib.h>
#include <urcu-qsbr.h>

struct retired {
    struct rcu_head head;
    void *p;
    void (*fn)(void *p);
};

void rcu_thread_init(void)
{
    urcu_qsbr_register_thread();
}

void rcu_thread_done(void)
{
    urcu_qsbr_unregister_thread();
}

void rcu_quiescent(void)
{
    urcu_qsbr_quiescent_state();
}

void rcu_offline(void)
{
    urcu_qsbr_thread_offline();
}

void rcu_online(void)
{
    urcu_qsbr_thread_online();
}

void rcu_synchronize(void)
{
    urcu_qsbr_synchronize_rcu();
}

static void free_retired(struct rcu_head *head)
{
    struct retired *r = (struct retired *)head;
    r->fn(r->p);
    free(r);
}

void rcu_retire(void *p, void (*fn)(void *p))
{
    struct retired *r = xmalloc(sizeof *r);
    r->p = p;
    r->fn = fn;
    urcu_qsbr_call_rcu(&r->head, free_retired);
}

void rcu_barrier_all(void)
{
    urcu_qsbr_barrier();
}
