/* Writes Events to an API server or the registry of this process, few of them: what is said again
 * about the same object only raises the count of the Event that is there, what is said too often is
 * not written, and nothing waits for them. Control thread only.
 *
 * Source of the rates: Kubernetes' Event correlation (25 at once, then one in five minutes). */
#pragma once

#include "cmd/api_writer.h"
#include "kube/event.h"

#define EVENT_SUBJECTS_MAX 256 /* pairs of object and reason that are remembered */
#define EVENT_FLIGHTS_MAX  16  /* requests at the same time; more are not written */
#define EVENT_BURST        25  /* of one pair */
#define EVENT_REFILL_S     300

struct event_writer;

struct event_writer *event_writer_new(const struct write_target *to);
void event_writer_free(struct event_writer *w); /* ends all writes; NULL is fine */
void event_writer_write(struct event_writer *w, const struct event *e);
