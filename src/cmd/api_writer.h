/* Writes EndpointSlices and Endpoints as the controllers (endpoints/reconcile.h) ask for it, and
 * tells them how that went: to an API server, later; to the registry of this process
 * (registry/inside.h), before the functions return. Control thread only. */
#pragma once

#include "endpoints/reconcile.h"
#include "source/api_client.h"

struct registry;
struct api_writer;

/* One of them. */
struct write_target {
    struct api_client *client;
    struct registry *registry;
};

/* Who writes into a registry of this process: the name that an API server knows us by, too. */
#define INSIDE_MANAGER "?fieldManager=signpost"

struct api_writer *api_writer_new(const struct write_target *to);
void api_writer_free(struct api_writer *w); /* ends all writes; NULL is fine */
/* The functions of struct object_writer. */
void api_writer_create(struct api_writer *w, const struct object *o, void *token);
void api_writer_update(struct api_writer *w, const struct object *o, void *token);
void api_writer_remove(struct api_writer *w, enum kind kind, const char *ns, const char *name,
                       void *token);
/* Ends all writes under way without a word. */
void api_writer_cancel(struct api_writer *w);
