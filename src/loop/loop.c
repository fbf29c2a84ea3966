#include "loop/loop.h"

#include <stddef.h>

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

void loop_close_handles(uv_loop_t *loop)
{
    uv_walk(loop, close_handle, NULL);
}

void loop_done(uv_loop_t *loop)
{
    loop_close_handles(loop);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
}
