/* The end of a libuv loop, for everyone who has one. */
#pragma once

#include <uv.h>

/* Closes every handle that is still open; the loop must turn once more for it. On its thread. */
void loop_close_handles(uv_loop_t *loop);
/* The same, turns the loop until all has ended, and ends it. Whoever frees memory with handles in
 * it does so afterwards. */
void loop_done(uv_loop_t *loop);
