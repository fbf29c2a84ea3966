/* A registry of this process as the source of objects (source/sink.h): what there is is told before
 * feed_open() returns, and what changes after each commit. Nothing is asked for and nothing goes
 * over a connection; documents become the structs of kube/ here, once for all who read the store
 * behind the sink. Pods that have ended are told as gone, as other sources leave them out. Control
 * thread only. */
#pragma once

#include "source/sink.h"

struct registry;
struct feed;

/* The sink is copied. `synced` is called before it returns. */
struct feed *feed_open(struct registry *r, const struct sink *sink);
void feed_close(struct feed *f); /* NULL is fine */
