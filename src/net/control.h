/* A local socket through which a running server is talked to: a Unix stream socket (mode 0600) on
 * the control thread's loop, lines of text, and descriptors that travel with a line.
 *
 * A client sends lines of at most CONTROL_LINE_MAX bytes; the handler answers each with
 * control_send() and ends the conversation with control_end(). Bounds: CONTROL_CLIENTS_MAX clients
 * at one time (more are closed at once), CONTROL_IDLE_MS without a line, CONTROL_OUT_MAX bytes that
 * a client has not taken. Whoever breaks one is closed.
 *
 * Client side: blocking calls with a time limit. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <uv.h>

#define CONTROL_CLIENTS_MAX 16
#define CONTROL_LINE_MAX    4096
#define CONTROL_OUT_MAX     (1 << 20)
#define CONTROL_IDLE_MS     30000
#define CONTROL_FDS_MAX     16 /* with one line */
#define CONTROL_FDS_WAITING 64 /* that have come and no line has taken yet */

struct control_server;
struct control_client;

/* line: without its end, the handler's to change. */
typedef void control_handler(void *ctx, struct control_client *c, char *line);

/* Listens at path: in place of a socket that nobody listens at any more, and, when `replace` is
 * set, of one that somebody does. -EADDRINUSE: somebody does. */
int control_server_open(uv_loop_t *loop, const char *path, bool replace, control_handler *handler,
                        void *ctx, struct control_server **ret, struct err *e);
/* Closes all clients. The path is removed unless another process has put its own socket there. NULL
 * is fine. The loop must run on for the handles to be closed. */
void control_server_close(struct control_server *s);

/* Queues text; nothing when the client has gone. */
void control_send(struct control_client *c, const char *text, size_t len);
/* Sends a line (its end included) with descriptors, at once; they stay the caller's. False: the
 * client has gone or takes nothing more. */
bool control_send_fds(struct control_client *c, const char *line, const int *fds, unsigned n);
/* Closes once all has been sent. */
void control_end(struct control_client *c);
/* For handlers that answer later: the object stays, and is not timed out, until control_release().
 */
void control_hold(struct control_client *c);
void control_release(struct control_client *c);
/* Told when the client goes, on whatever side it was closed. */
void control_on_gone(struct control_client *c, void (*fn)(void *ctx), void *ctx);

/* ---- the other side ---- */

struct control_link {
    int fd;
    size_t len;
    char buf[CONTROL_LINE_MAX];
    int fds[CONTROL_FDS_WAITING];
    unsigned n_fds;
};

/* ret_link is to be closed with control_link_done(), after a failure too. timeout_ms: of each call.
 */
int control_connect(const char *path, int timeout_ms, struct control_link *ret_link, struct err *e);
void control_link_done(struct control_link *l);
int control_tell(struct control_link *l, const char *line, struct err *e);
/* The next line, without its end, in line[size]. Descriptors that came are in fds, in order.
 * Returns 1, 0 at the end, or a negative code. */
int control_next(struct control_link *l, char *line, size_t size, struct err *e);
/* The first of the descriptors that came, now the caller's; -1: there is none. */
int control_take_fd(struct control_link *l);
