/* What the files of streams share. */
#pragma once

#include "net/stream.h"

/* stream.c: an end that waits for replies comes when the last has been given. */
void stream_end_if_answered(struct stream *s);
/* stream_send.c: sends what TLS has made. */
void stream_flush_sealed(struct stream *s);
/* stream_send.c: what waits for more on this connection leaves now. */
void stream_send_gathered(struct stream *s);
