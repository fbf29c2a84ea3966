/* Writes EndpointSlices to an API server as the controller (endpoints/reconcile.h) asks for it, and
 * tells it how that went. Control thread only. */
#pragma once

#include "endpoints/reconcile.h"
#include "source/api_client.h"

struct slice_writer;

struct slice_writer *slice_writer_new(struct api_client *client);
void slice_writer_free(struct slice_writer *w); /* ends all writes; NULL is fine */
/* reconcile_options.write; ctx: the writer. */
void slice_writer_write(void *ctx, const struct slice_write *x);
/* Ends all writes under way without a word. */
void slice_writer_cancel(struct slice_writer *w);
