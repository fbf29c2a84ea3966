#include "cmd/controller_options.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define SLICE_LIMIT 1000 /* endpoints of a slice that the API takes */
#define BATCH_MAX   3600000000000LL

/* The names of the original, and those that it had before. */
static const struct {
    const char *name, *alias, *workers, *batch;
    unsigned kinds;
} known[CONTROLLERS] = {
    [CONTROLLER_SLICES] = { "endpointslice-controller", "endpointslice",
                            "concurrent-service-endpoint-syncs",
                            "endpointslice-updates-batch-period",
                            1u << KIND_SERVICE | 1u << KIND_SLICE | 1u << KIND_POD |
                                1u << KIND_NODE },
    [CONTROLLER_ENDPOINTS] = { "endpoints-controller", "endpoint", "concurrent-endpoint-syncs",
                               "endpoint-updates-batch-period",
                               1u << KIND_SERVICE | 1u << KIND_ENDPOINTS | 1u << KIND_POD },
    [CONTROLLER_MIRROR] = { "endpointslice-mirroring-controller", "endpointslicemirroring",
                            "mirroring-concurrent-service-endpoint-syncs",
                            "mirroring-endpointslice-updates-batch-period",
                            1u << KIND_SERVICE | 1u << KIND_ENDPOINTS | 1u << KIND_SLICE },
};

static int check_range(const char *flag, long value, long min, long max, struct err *e)
{
    if (value >= min && value <= max)
        return 0;
    return err_set(e, ERR_INVALID, "--%s: must be %ld to %ld", flag, min, max);
}

static int check_numbers(const struct controller_options *o, struct err *e)
{
    int r = check_range("max-endpoints-per-slice", o->max_endpoints, 1, SLICE_LIMIT, e);
    if (r == 0)
        r = check_range("mirroring-max-endpoints-per-subset", o->max_mirrored, 1, SLICE_LIMIT, e);
    for (unsigned i = 0; i < CONTROLLERS && r == 0; i++)
        r = check_range(known[i].workers, o->workers[i], 1, RECONCILE_BUSY_MAX, e);
    for (unsigned i = 0; i < CONTROLLERS && r == 0; i++)
        if (o->batch[i] < 0 || o->batch[i] > BATCH_MAX)
            r = err_set(e, ERR_INVALID, "--%s: must be 0 to 1h", known[i].batch);
    return r;
}

/* The last word about a controller counts, as with the original; one that is not named runs when
 * there is a star. */
static int choose_one(struct controller_options *o, bool chosen[CONTROLLERS], const char *word,
                      bool *star, struct err *e)
{
    bool off = *word == '-';
    for (unsigned i = 0; i < CONTROLLERS; i++) {
        if (strcmp(word + off, known[i].name) != 0 && strcmp(word + off, known[i].alias) != 0)
            continue;
        o->busy_max[i] = off ? 0 : (unsigned)o->workers[i];
        chosen[i] = true;
        return 0;
    }
    if (strcmp(word, "*") != 0)
        return err_set(e, ERR_INVALID, "--controllers: there is no \"%s\"", word + off);
    *star = true;
    return 0;
}

static int choose(struct controller_options *o, struct err *e)
{
    bool star = false, chosen[CONTROLLERS] = { false };
    for (const char *at = o->list; *at;) {
        size_t len = strcspn(at, ",");
        cleanup_free char *word = xstrndup(at, len);
        int code = choose_one(o, chosen, word, &star, e);
        if (code < 0)
            return code;
        at += len + (at[len] == ',');
    }
    for (unsigned i = 0; i < CONTROLLERS; i++) {
        if (star && !chosen[i])
            o->busy_max[i] = (unsigned)o->workers[i];
        o->kinds |= o->busy_max[i] ? known[i].kinds : 0;
    }
    return controller_options_any(o) ? 0 : err_set(e, ERR_INVALID, "--controllers: none is left");
}

int controller_options_read(struct controller_options *o, bool may_be_none, struct err *e)
{
    int r = check_numbers(o, e);
    if (r < 0 || (may_be_none && str_eq(o->list, "false")))
        return r;
    if (may_be_none && str_eq(o->list, "true"))
        o->list = "*";
    return choose(o, e);
}

bool controller_options_any(const struct controller_options *o)
{
    for (unsigned i = 0; i < CONTROLLERS; i++)
        if (o->busy_max[i])
            return true;
    return false;
}
