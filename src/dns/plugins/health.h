/* The self-check of `health`: asks its own page every second, as anybody would, and counts how long
 * that takes. Slow answers tell of a process or a machine that has too much to do. Private to the
 * plugin. */
#pragma once

#include <uv.h>

struct health_poll;

/* address: as for http_server_open(), which has taken it. Control thread, as the rest. */
struct health_poll *health_poll_new(uv_loop_t *loop, const char *address);
/* Memory goes when the loop has closed the handles. NULL is fine. */
void health_poll_close(struct health_poll *p);
