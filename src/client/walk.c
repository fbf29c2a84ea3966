#include "client/walk.h"

#include "wire/rr.h"

#include <string.h>

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

void walk_init(struct walk *w, const char *name, const struct stub_conf *conf, struct arena *a)
{
    size_t len = strlen(name);
    *w = (struct walk){ .name = name, .conf = conf, .arena = a };
    for (const char *p = name; *p; p++)
        w->dots += *p == '.';
    w->absolute = len > 0 && name[len - 1] == '.';
    w->stage = w->absolute || w->dots >= (unsigned)conf->ndots ? WALK_AS_IS_FIRST : WALK_LIST;
}

static const char *next_of_list(struct walk *w)
{
    const struct strlist *list = &w->conf->searches;
    if (w->next == list->n)
        return NULL;
    const char *suffix = list->items[w->next++];
    w->searched = true;
    suffix += suffix[0] == '.'; /* "." is the root, and ".x" is "x" */
    if (*suffix)
        return arena_printf(w->arena, "%s.%s", w->name, suffix);
    w->root_tried = true;
    return arena_printf(w->arena, "%s.", w->name);
}

static const char *as_is_last(struct walk *w)
{
    bool wanted = w->dots || !w->searched || !w->conf->no_tld_query;
    w->stage = WALK_OVER;
    return wanted && !w->as_is_tried && !w->root_tried ? w->name : NULL;
}

const char *walk_next(struct walk *w)
{
    const char *name;
    switch (w->stage) {
    case WALK_AS_IS_FIRST:
        w->as_is_tried = true;
        return w->name;
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

/* Whether the list is left after this outcome of one of its elements. */
static void leave_list(struct walk *w, enum walk_outcome o)
{
    w->got_nodata |= o == WALK_NODATA;
    w->got_servfail |= o == WALK_SERVFAIL;
    if (o == WALK_FAILED || o == WALK_BAD)
        w->stage = WALK_AS_IS_LAST;
    if (o == WALK_UNREACHABLE) {
        w->stage = WALK_OVER;
        w->first_error = WALK_OK; /* this error stands, whatever came before */
        w->got_nodata = w->got_servfail = false;
    }
}

void walk_report(struct walk *w, enum walk_outcome o)
{
    w->last_error = outcome_error(o);
    w->found = o == WALK_FOUND;
    if (w->found) {
        w->stage = WALK_OVER;
    } else if (w->stage == WALK_AS_IS_FIRST) {
        w->first_error = w->last_error;
        w->stage = w->absolute ? WALK_OVER : WALK_LIST;
    } else if (w->stage == WALK_LIST) {
        leave_list(w, o);
    }
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
