#include "client/walk.h"

#include "wire/rr.h"

#include <string.h>

const struct walk_rules walk_glibc = {
    .searches_after = true,
    .dot_is_root = true,
    .moves = { [WALK_FAILED] = WALK_LEAVE_LIST,
               [WALK_BAD] = WALK_LEAVE_LIST,
               [WALK_UNREACHABLE] = WALK_STOP },
};

const char *walk_outcome_text(enum walk_outcome o)
{
    static const char *const texts[WALK_OUTCOME_COUNT] = {
        [WALK_FOUND] = "found",
        [WALK_NXDOMAIN] = "NXDOMAIN",
        [WALK_NODATA] = "NODATA",
        [WALK_SERVFAIL] = "SERVFAIL",
        [WALK_FAILED] = "failed",
        [WALK_BAD] = "bad",
        [WALK_UNREACHABLE] = "unreachable",
    };
    return texts[o];
}

static enum walk_error outcome_error(enum walk_outcome o)
{
    static const enum walk_error errors[WALK_OUTCOME_COUNT] = {
        [WALK_FOUND] = WALK_OK,
        [WALK_NXDOMAIN] = WALK_HOST_NOT_FOUND,
        [WALK_NODATA] = WALK_NO_DATA,
        [WALK_SERVFAIL] = WALK_TRY_AGAIN,
        [WALK_FAILED] = WALK_TRY_AGAIN,
        [WALK_BAD] = WALK_NO_RECOVERY,
        [WALK_UNREACHABLE] = WALK_TRY_AGAIN,
    };
    return errors[o];
}

void walk_init(struct walk *w, const struct walk_rules *rules, const char *name,
               const struct stub_conf *conf, struct arena *a)
{
    size_t len = strlen(name);
    *w = (struct walk){ .rules = rules, .name = name, .conf = conf, .arena = a };
    for (const char *p = name; *p; p++)
        w->dots += *p == '.';
    w->absolute = len > 0 && name[len - 1] == '.';
    w->stage = w->absolute || w->dots >= (unsigned)conf->ndots ? WALK_AS_IS_FIRST : WALK_LIST;
}

bool walk_is_onion(const char *name)
{
    static const char onion[] = ".onion";
    size_t len = strlen(name), n = sizeof onion - 1;
    len -= len > 0 && name[len - 1] == '.';
    return len >= n && strncasecmp(name + len - n, onion, n) == 0;
}

static bool passed_over(const struct walk *w, const char *name)
{
    size_t len = strlen(name);
    len -= len > 0 && name[len - 1] == '.';
    return (w->rules->name_max && len > w->rules->name_max) ||
           (w->rules->skips_onion && walk_is_onion(name));
}

static const char *with_suffix(struct walk *w, const char *suffix)
{
    if (w->rules->dot_is_root) {
        suffix += suffix[0] == '.';
        w->root_tried |= *suffix == '\0';
    }
    return arena_printf(w->arena, "%s.%s", w->name, suffix);
}

static const char *next_of_list(struct walk *w)
{
    const struct strlist *list = &w->conf->searches;
    while (w->next < list->n) {
        const char *name = with_suffix(w, list->items[w->next++]);
        w->searched = true;
        if (!passed_over(w, name))
            return name;
    }
    return NULL;
}

static const char *as_is_last(struct walk *w)
{
    bool wanted = w->dots || !w->searched || !w->conf->no_tld_query;
    w->stage = WALK_OVER;
    wanted = wanted && !w->as_is_tried && !w->root_tried && !passed_over(w, w->name);
    return wanted ? w->name : NULL;
}

const char *walk_next(struct walk *w)
{
    const char *name;
    switch (w->stage) {
    case WALK_AS_IS_FIRST:
        w->as_is_tried = true;
        if (!passed_over(w, w->name))
            return w->name;
        w->stage = w->absolute ? WALK_OVER : WALK_LIST;
        return walk_next(w);
    case WALK_LIST:
        if ((name = next_of_list(w)))
            return name;
        return as_is_last(w);
    case WALK_AS_IS_LAST:
        return as_is_last(w);
    case WALK_OVER:
        break;
    }
    return NULL;
}

static void report_element(struct walk *w, enum walk_outcome o)
{
    w->got_nodata |= o == WALK_NODATA;
    w->got_servfail |= o == WALK_SERVFAIL;
    if (w->rules->moves[o] == WALK_LEAVE_LIST)
        w->stage = WALK_AS_IS_LAST;
    if (w->rules->moves[o] == WALK_STOP) {
        w->stage = WALK_OVER;
        w->first_error = WALK_OK; /* this error stands, whatever came before */
        w->got_nodata = w->got_servfail = false;
    }
}

static void report_as_is_first(struct walk *w, enum walk_outcome o)
{
    bool stop = w->rules->first_may_stop && w->rules->moves[o] == WALK_STOP;
    w->first_error = w->last_error;
    w->stage = w->absolute || stop || !w->rules->searches_after ? WALK_OVER : WALK_LIST;
}

void walk_report(struct walk *w, enum walk_outcome o)
{
    w->last_error = outcome_error(o);
    w->found = o == WALK_FOUND;
    if (w->found)
        w->stage = WALK_OVER;
    else if (w->stage == WALK_AS_IS_FIRST)
        report_as_is_first(w, o);
    else if (w->stage == WALK_LIST)
        report_element(w, o);
}

enum walk_error walk_error(const struct walk *w)
{
    if (w->found)
        return WALK_OK;
    if (w->first_error != WALK_OK)
        return w->first_error;
    if (w->got_nodata)
        return WALK_NO_DATA;
    return w->got_servfail ? WALK_TRY_AGAIN : w->last_error;
}

bool walk_reply_useless(const struct walk_reply *r)
{
    if (r->rcode == RCODE_SERVFAIL || r->rcode == RCODE_NOTIMP || r->rcode == RCODE_REFUSED)
        return true;
    return r->rcode == RCODE_NOERROR && !r->answers && !r->additional && !r->aa && !r->ra;
}

static bool has_data(const struct walk_reply *r)
{
    return r && r->rcode == RCODE_NOERROR && r->answers;
}

enum walk_outcome walk_judge(const struct walk_reply *first, const struct walk_reply *second)
{
    if (has_data(first) || has_data(second))
        return WALK_FOUND;
    bool by_second = first->rcode == RCODE_NOERROR && second;
    switch (by_second ? second->rcode : first->rcode) {
    case RCODE_NOERROR:
        return WALK_NODATA;
    case RCODE_NXDOMAIN:
        return WALK_NXDOMAIN;
    case RCODE_SERVFAIL: /* the walk goes on only when the first reply says so */
        return by_second ? WALK_FAILED : WALK_SERVFAIL;
    default:
        return WALK_BAD;
    }
}
