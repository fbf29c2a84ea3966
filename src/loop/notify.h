/* Tells the service manager how this process is doing: one datagram to the socket that the variable
 * NOTIFY_SOCKET names (sd_notify(3), "Description"). Without that variable nothing happens. Control
 * thread only. */
#pragma once

/* Answers queries, for the first time or again after a reload. */
void notify_ready(void);
/* Begins a reload; notify_ready() ends it, whether it worked or not. */
void notify_reloading(void);
void notify_stopping(void);
