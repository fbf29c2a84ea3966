#include "endpoints/hint_state.h"

#include "base/mem.h"

#include <string.h>

static const char *const families[2] = { "IPv4", "IPv6" };

static void forget(struct hint_state *s, unsigned family)
{
    for (size_t i = 0; i < s->of[family].n; i++)
        free((char *)s->of[family].counts[i].zone);
    free(s->of[family].counts);
    s->of[family].counts = NULL;
    s->of[family].n = 0;
    s->populated = false; /* of either family, as with the original */
}

void hint_state_free(struct hint_state *s)
{
    if (!s)
        return;
    forget(s, 0);
    forget(s, 1);
    free(s);
}

static void keep(struct hint_state *s, unsigned family, const struct plan_hints *h)
{
    forget(s, family);
    s->of[family].counts = xcalloc(h->n + 1, sizeof *s->of[family].counts);
    for (size_t i = 0; i < h->n; i++)
        s->of[family].counts[i] = (struct zone_count){ xstrdup(h->counts[i].zone), h->counts[i].n };
    s->of[family].n = h->n;
    s->populated = true;
}

static void take_family(struct work *w, const struct service *s, unsigned family,
                        const struct plan_hints *h)
{
    bool had = w->hints->populated;
    if (!h->asked)
        return;
    if (h->refusal) {
        forget(w->hints, family);
        controller_event(w->controller, &s->object, true, "TopologyAwareHintsDisabled",
                         "%s, addressType: %s", h->refusal, families[family]);
        return;
    }
    keep(w->hints, family, h);
    if (!had)
        controller_event(w->controller, &s->object, false, "TopologyAwareHintsEnabled",
                         "Topology Aware Hints has been enabled, addressType: %s",
                         families[family]);
}

void hint_state_take(struct work *w, const struct service *s, const struct plan *p)
{
    if (s->topology_auto) {
        if (!w->hints)
            w->hints = xcalloc(1, sizeof *w->hints);
        take_family(w, s, 0, &p->hints[0]);
        take_family(w, s, 1, &p->hints[1]);
        return;
    }
    if (w->hints && w->hints->populated)
        controller_event(w->controller, &s->object, true, "TopologyAwareHintsDisabled",
                         "Topology Aware Hints has been disabled, addressType: %s",
                         families[w->hints->of[0].n ? 0 : 1]);
    hint_state_free(w->hints);
    w->hints = NULL;
}

bool hint_state_is_overloaded(const struct hint_state *s, const struct zones *z)
{
    return s && (topology_is_overloaded(z, s->of[0].counts, s->of[0].n) ||
                 topology_is_overloaded(z, s->of[1].counts, s->of[1].n));
}
