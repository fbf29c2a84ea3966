/* `erratic`: a server that misbehaves on purpose, for trying out clients. Drops, delays and
 * truncates one of so many replies, by the number of the query. */
#include "dns/plugin.h"

#include "base/clock.h"

#include <string.h>

#define AMOUNT_DEFAULT 2
#define DELAY_DEFAULT  100000000LL /* ns */
#define LARGE_RECORDS  30
#define READY_FROM     3 /* queries; ready in between, to show both states */
#define READY_TO       5

/* The queries of one worker that are held back, in the order in which they are due. */
struct delay_line {
    uv_timer_t timer;
    struct query *first, *last;
    bool closed;
};

/* What a worker that has stopped has instead of one. */
static struct delay_line ended = { .closed = true };

/* In q->scratch while a query is held back. */
struct delayed {
    struct query *next;
    int64_t due_ns;
    enum step step; /* what becomes of it then */
};
_Static_assert(sizeof(struct delayed) <= QUERY_SCRATCH, "a waiting query has that much room");

struct erratic {
    long drop, delay, truncate; /* one of so many; 0: none */
    long long delay_ns;
    bool large;
    _Atomic uint64_t queries;
    struct delay_line **lines; /* by worker; made when needed */
};

static const uint8_t address4[] = { 192, 0, 2, 53 };
static const uint8_t address6[] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53 };

/* ---- delays ---- */

static struct delayed *delayed_of(struct query *q)
{
    return (struct delayed *)q->scratch;
}

static void release_due(struct delay_line *line, int64_t now)
{
    while (line->first && (line->closed || delayed_of(line->first)->due_ns <= now)) {
        struct query *q = line->first;
        line->first = delayed_of(q)->next;
        query_resume(q, line);
    }
}

static void arm(struct delay_line *line, uv_timer_cb on_due)
{
    int64_t left = delayed_of(line->first)->due_ns - clock_ns();
    uv_timer_start(&line->timer, on_due, left > 0 ? (uint64_t)left / 1000000 + 1 : 0, 0);
}

static void on_due(uv_timer_t *timer)
{
    struct delay_line *line = timer->data;
    struct worker *w = timer->loop->data;
    worker_enter(w);
    release_due(line, clock_ns());
    worker_leave(w);
    if (line->first && !line->closed)
        arm(line, on_due);
}

static enum step delay_over(struct query *q, void *conf, void *data)
{
    const struct delay_line *line = data;
    (void)conf;
    return line->closed ? STEP_DROP : delayed_of(q)->step;
}

static struct delay_line *line_of(struct erratic *x, struct worker *w)
{
    struct delay_line **line = &x->lines[w->index];
    if (!*line) {
        *line = xcalloc(1, sizeof **line);
        uv_timer_init(&w->loop, &(*line)->timer);
        (*line)->timer.data = *line;
    }
    return *line;
}

static enum step hold_back(struct query *q, struct erratic *x, enum step step)
{
    struct delay_line *line = line_of(x, q->worker);
    if (line->closed)
        return STEP_DROP;
    enum step wait = query_wait(q, delay_over, x);
    if (wait != STEP_WAIT)
        return wait;
    *delayed_of(q) = (struct delayed){ .due_ns = clock_ns() + x->delay_ns, .step = step };
    if (line->first)
        delayed_of(line->last)->next = q;
    else
        line->first = q;
    line->last = q;
    if (line->first == q)
        arm(line, on_due);
    return STEP_WAIT;
}

/* ---- answers ---- */

static void add_addresses(struct query *q, uint16_t type, const uint8_t *address, uint16_t len,
                          uint16_t count)
{
    uint8_t *rdata = arena_alloc(&q->arena, (size_t)len * count);
    for (uint16_t i = 0; i < count; i++)
        memcpy(rdata + (size_t)i * len, address, len);
    query_add(q, SECTION_ANSWER,
              (struct rrset){
                  .type = type, .class = CLASS_IN, .count = count, .rdlen = len, .rdata = rdata });
}

/* label + the question's name, with room for its length in front; NULL: too long. */
static uint8_t *below(struct query *q, char label, size_t more, size_t *ret_len)
{
    const struct name *n = &q->msg.q.name;
    if (n->len + 2 > NAME_MAX_WIRE)
        return NULL;
    uint8_t *p = arena_zalloc(&q->arena, 2u + 2u + n->len + more);
    p[2] = 1;
    p[3] = (uint8_t)label;
    memcpy(p + 4, n->wire, n->len);
    *ret_len = n->len + 2u;
    return p;
}

static void add_soa(struct query *q)
{
    size_t len;
    uint8_t *p = below(q, 'a', 1 + 20, &len); /* MNAME; RNAME the root; five numbers */
    if (!p)
        return;
    put_u16(p, (uint16_t)(len + 21));
    put_u32(p + 2 + len + 1, 1); /* the serial */
    query_add(q, SECTION_ANSWER,
              (struct rrset){ .type = RR_SOA, .class = CLASS_IN, .count = 1, .rdata = p });
}

static void add_server(struct query *q, char label)
{
    size_t len;
    uint8_t *p = below(q, label, 0, &len);
    if (!p)
        return;
    put_u16(p, (uint16_t)len);
    query_add(q, SECTION_ANSWER,
              (struct rrset){ .type = RR_NS, .class = CLASS_IN, .count = 1, .rdata = p });
    query_add(q, SECTION_ANSWER,
              (struct rrset){ .owner = p + 2,
                              .type = RR_AAAA,
                              .class = CLASS_IN,
                              .count = 1,
                              .rdlen = sizeof address6,
                              .rdata = address6 });
}

/* A small zone; a truncated one lacks the SOA record at the end. */
static void add_zone(struct query *q, bool truncate)
{
    add_soa(q);
    add_server(q, 'a');
    add_server(q, 'b');
    if (!truncate)
        add_soa(q);
}

static enum step answer(struct query *q, const struct erratic *x, bool truncate)
{
    uint16_t count = x->large ? LARGE_RECORDS : 1;
    q->reply.flags |= FLAG_AA;
    switch (q->msg.q.type) {
    case RR_A:
        add_addresses(q, RR_A, address4, sizeof address4, count);
        break;
    case RR_AAAA:
        add_addresses(q, RR_AAAA, address6, sizeof address6, 1);
        break;
    case RR_AXFR:
        add_zone(q, truncate);
        return STEP_DONE;
    default:
        return query_fail(q, RCODE_SERVFAIL, NULL);
    }
    q->reply.tc = truncate;
    return STEP_DONE;
}

static bool is_due(long amount, uint64_t number)
{
    return amount > 0 && number % (uint64_t)amount == 0;
}

static enum step erratic_in(struct query *q, void *conf)
{
    struct erratic *x = conf;
    uint64_t number = atomic_fetch_add(&x->queries, 1);
    if (is_due(x->drop, number))
        return STEP_DROP;
    enum step step = answer(q, x, is_due(x->truncate, number));
    return is_due(x->delay, number) ? hold_back(q, x, step) : step;
}

/* ---- set-up ---- */

static bool erratic_ready(void *conf)
{
    struct erratic *x = conf;
    uint64_t queries = atomic_load(&x->queries);
    return queries >= READY_FROM && queries < READY_TO;
}

static void line_closed(uv_handle_t *timer)
{
    free(timer->data);
}

/* What is held back now is dropped. */
static void erratic_worker_stop(struct worker *w, void *conf)
{
    struct erratic *x = conf;
    struct delay_line *line = x->lines[w->index];
    x->lines[w->index] = &ended;
    if (!line || line == &ended)
        return;
    line->closed = true;
    release_due(line, 0);
    uv_close((uv_handle_t *)&line->timer, line_closed);
}

static int read_amount(long *ret, struct dispenser *d, struct err *e)
{
    *ret = AMOUNT_DEFAULT;
    if (dispenser_next_arg(d) && str_to_long(dispenser_val(d), 0, INT32_MAX, ret) < 0)
        return dispenser_err(d, e, "illegal amount value given \"%s\"", dispenser_val(d));
    return 0;
}

static int read_delay(struct erratic *x, struct dispenser *d, struct err *e)
{
    int ret = read_amount(&x->delay, d, e);
    if (ret < 0 || !dispenser_next_arg(d))
        return ret;
    if (str_to_duration(dispenser_val(d), &x->delay_ns) < 0 || x->delay_ns < 0)
        return dispenser_err(d, e, "delay needs a duration: \"%s\"", dispenser_val(d));
    return 0;
}

static int read_option(struct erratic *x, struct dispenser *d, struct err *e)
{
    const char *word = dispenser_val(d);
    int ret = 0;
    if (strcmp(word, "drop") == 0)
        ret = read_amount(&x->drop, d, e);
    else if (strcmp(word, "truncate") == 0)
        ret = read_amount(&x->truncate, d, e);
    else if (strcmp(word, "delay") == 0)
        ret = read_delay(x, d, e);
    else if (strcmp(word, "large") == 0)
        x->large = true;
    else
        return dispenser_unknown(d, e);
    return ret < 0 ? ret : dispenser_next_arg(d) ? dispenser_arg_err(d, e) : 0;
}

static int erratic_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct erratic *x = arena_zalloc(setup_arena(s), sizeof *x);
    size_t options = 0;
    x->delay_ns = DELAY_DEFAULT;
    x->lines = arena_zalloc(setup_arena(s), setup_workers(s) * sizeof(struct delay_line *));
    dispenser_next_directive(d);
    if (dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    for (; dispenser_next_block(d); options++) {
        int ret = read_option(x, d, e);
        if (ret < 0)
            return ret;
    }
    if (!options)
        x->drop = AMOUNT_DEFAULT;
    setup_in(s, erratic_in, x);
    setup_ready(s, erratic_ready, x);
    setup_worker_stop(s, erratic_worker_stop, x);
    return 0;
}

const struct plugin plugin_erratic = { .name = "erratic", .setup = erratic_setup };
