/* `errors [stdout]`: one log line for each query that failed for a reason. */
#include "dns/plugin.h"

#include <string.h>

static void errors_after(struct query *q, void *conf)
{
    char name[NAME_TEXT_MAX], type[16];
    (void)conf;
    if (!q->error)
        return;
    log_error("plugin/errors: %u %s %s: %s", q->reply.rcode, name_to_text(q->msg.q.lower, name),
              rr_type_text(q->msg.q.type, type), q->error);
}

static int errors_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    dispenser_next_directive(d);
    if (dispenser_next_arg(d) && strcmp(dispenser_val(d), "stdout") != 0)
        return dispenser_err(d, e, "invalid log file: %s", dispenser_val(d));
    if (dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (dispenser_next_block(d)) {
        static const char *const later[] = { "consolidate", "stacktrace" };
        for (size_t i = 0; i < ARRAY_SIZE(later); i++)
            if (strcmp(dispenser_val(d), later[i]) == 0)
                return dispenser_err(d, e, "option '%s' is not supported yet", later[i]);
        return dispenser_unknown(d, e);
    }
    setup_after(s, errors_after, NULL);
    return 0;
}

const struct plugin plugin_errors = { .name = "errors", .setup = errors_setup };
