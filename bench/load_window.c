#include "load_window.h"

#include "base/cursor.h"
#include "load_check.h"

#define NS 1000000000LL

void window_init(struct window *w, unsigned size)
{
    *w = (struct window){ .size = size, .n_free = size };
    for (unsigned i = 0; i < size; i++) {
        w->places[i].id = (uint16_t)i;
        w->free[i] = (uint8_t)i;
    }
}

/* Of the query that is next. Whole seconds apart, so that no product overflows. */
static int64_t due_ns(const struct load *l)
{
    int64_t n = (int64_t)l->sent;
    return l->begin_ns + n / l->rate * NS + n % l->rate * NS / l->rate;
}

bool window_may_send(const struct window *w, const struct load *l)
{
    return w->n_free && l->left && (l->rate == 0 || due_ns(l) <= l->now_ns);
}

/* The id changes with each use of a place, so that a late answer is not taken for a new one. */
const struct query *window_next(struct window *w, struct load *l, uint16_t *ret_id)
{
    struct place *p = &w->places[w->free[--w->n_free]];
    int64_t since = l->rate ? due_ns(l) : l->now_ns;
    *p = (struct place){ .busy = true,
                         .id = (uint16_t)(p->id + 0x100),
                         .query = (uint32_t)l->next,
                         .since_ns = since,
                         .sent_ns = l->now_ns };
    if (l->rate)
        latency_add(&l->behind, l->now_ns - since);
    l->next = l->next + 1 == l->queries->list.n ? 0 : l->next + 1;
    l->left--;
    l->sent++;
    *ret_id = p->id;
    return &l->queries->list.items[p->query];
}

static void check(struct load *l, const struct place *p, const uint8_t *answer, size_t len)
{
    const struct query *q = &l->queries->list.items[p->query];
    const char *wrong = check_answer(l->queries, q, answer, len);
    l->checked++;
    if (!wrong)
        return;
    if (l->wrong++ == 0) {
        l->first_wrong = wrong;
        l->first_wrong_query = p->query;
    }
}

static void count(struct load *l, const uint8_t *answer)
{
    unsigned rcode = answer[3] & 0xf;
    l->answered++;
    l->rcodes[rcode]++;
    l->truncated += (answer[2] >> 1) & 1;
    l->nodata += rcode == 0 && get_u16(answer + 6) == 0;
}

static void release(struct window *w, unsigned at)
{
    w->places[at].busy = false;
    w->free[w->n_free++] = (uint8_t)at;
}

void window_take(struct window *w, struct load *l, const uint8_t *answer, size_t len)
{
    if (len < QUERY_HEADER_LEN || !(answer[2] & 0x80)) {
        l->late++;
        return;
    }
    uint16_t id = get_u16(answer);
    struct place *p = &w->places[id & 0xff];
    if ((id & 0xff) >= w->size || !p->busy || p->id != id) {
        l->late++;
        return;
    }
    release(w, id & 0xff);
    count(l, answer);
    latency_add(&l->latency, l->now_ns - p->since_ns);
    if (l->check_every && l->answered % l->check_every == 0)
        check(l, p, answer, len);
}

static void give_up(struct window *w, struct load *l, int64_t sent_before)
{
    for (unsigned i = 0; i < w->size; i++) {
        if (!w->places[i].busy || w->places[i].sent_ns > sent_before)
            continue;
        release(w, i);
        l->lost++;
    }
}

void window_expire(struct window *w, struct load *l)
{
    give_up(w, l, l->now_ns - l->timeout_ns);
}

void window_abandon(struct window *w, struct load *l)
{
    give_up(w, l, INT64_MAX);
}
