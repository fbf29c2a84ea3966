/* Read-copy-update: readers follow one pointer without locks; what was replaced is freed after
 * every reader has passed a quiescent state.
 *
 * Filling one is liburcu-qsbr. Under ThreadSanitizer, which cannot see through it, filling two
 * (rcu_epoch.c, plain C11 atomics) stands in; Meson chooses.
 *
 * Readers: rcu_thread_init() once; pointers got with rcu_load() stay valid until the thread's next
 * rcu_quiescent() or rcu_offline(). A thread that waits for events is offline meanwhile. Writers
 * need not be registered, and must not call rcu_synchronize() as an online reader. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#define rcu_load(p)       atomic_load_explicit(p, memory_order_consume)
#define rcu_publish(p, v) atomic_store_explicit(p, v, memory_order_release)

void rcu_thread_init(void); /* the thread is online afterwards */
void rcu_thread_done(void);
void rcu_quiescent(void);
void rcu_offline(void);
void rcu_online(void);

/* Waits until every online reader has passed a quiescent state. */
void rcu_synchronize(void);
/* Calls fn(p) after a grace period, on a thread of RCU's own. Never blocks. What an online reader
 * retires is gathered until it goes offline or is many. */
void rcu_retire(void *p, void (*fn)(void *p));
/* From now on so is what this thread retires, online or not; until it is many, or handed over. */
void rcu_gather(void);
bool rcu_has_gathered(void);
void rcu_hand_over(void);
/* Waits until all that was retired so far has been freed (at the end of a process or test). */
void rcu_barrier_all(void);
