/* Writes EndpointSlices and Endpoints to an API server as the controllers (endpoints/reconcile.h)
 * ask for it, and tells them how that went. Control thread only. */
#pragma once

#include "endpoints/reconcile.h"
#include "source/api_client.h"

struct api_writer;

struct api_writer *api_writer_new(struct api_client *client);
void api_writer_free(struct api_writer *w); /* ends all writes; NULL is fine */
/* The functions of struct object_writer. */
void api_writer_create(struct api_writer *w, const struct object *o, void *token);
void api_writer_update(struct api_writer *w, const struct object *o, void *token);
void api_writer_remove(struct api_writer *w, enum kind kind, const char *ns, const char *name,
                       void *token);
/* Ends all writes under way without a word. */
void api_writer_cancel(struct api_writer *w);
