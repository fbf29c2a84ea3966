#include "loop/waste.h"

#include "base/rcu.h"

static void on_timer(uv_timer_t *t)
{
    (void)t;
    rcu_hand_over();
}

/* Before the loop waits. */
static void on_prepare(uv_prepare_t *p)
{
    struct waste *w = p->data;
    if (rcu_has_gathered() && !uv_is_active((uv_handle_t *)&w->timer))
        uv_timer_start(&w->timer, on_timer, WASTE_MS, 0);
}

void waste_open(struct waste *w, uv_loop_t *loop)
{
    rcu_gather();
    uv_timer_init(loop, &w->timer);
    uv_prepare_init(loop, &w->prepare);
    w->prepare.data = w;
    uv_prepare_start(&w->prepare, on_prepare);
    uv_unref((uv_handle_t *)&w->timer);
    uv_unref((uv_handle_t *)&w->prepare);
}
