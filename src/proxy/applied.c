#include "proxy/applied.h"

void applied_done(struct applied *r)
{
    for (size_t i = 0; i < r->n_failed; i++)
        free(r->failed[i]);
    free(r->failed);
    *r = (struct applied){ 0 };
}

void applied_fail(struct applied *r, const struct portal_change *list, size_t n)
{
    r->failed = xrealloc(r->failed, (r->n_failed + n) * sizeof *r->failed + 1);
    for (size_t i = 0; i < n; i++)
        r->failed[r->n_failed++] = xstrdup(list[i].id);
}

void change_list_of_family(const struct portal_change *list, size_t n, uint8_t family,
                           change_list *ret)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].id[0] == (family == 4 ? '4' : '6'))
            vec_push(ret, list[i]);
}

void hunt_run(struct hunt *h, const struct portal_change *list, size_t n)
{
    if (n == 0)
        return;
    bool taken = h->tries_left > 0;
    if (taken) {
        h->tries_left--;
        taken = h->taken(h->ctx, list, n);
    }
    if (!taken && n > 1 && h->tries_left > 0) {
        hunt_run(h, list, n / 2);
        hunt_run(h, list + n / 2, n - n / 2);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (taken)
            vec_push(&h->good, list[i]);
        else
            vec_push(&h->bad, list[i]);
}

void hunt_done(struct hunt *h)
{
    vec_done(&h->good);
    vec_done(&h->bad);
}
