/* The Kubernetes API's protocol buffers as trees (config/tree.h): the fields that this project
 * reads, under their JSON names, so that one decoder serves all three forms. Fields that the table
 * does not name are skipped without a copy.
 *
 * Sources: generated.proto of k8s.io/api and k8s.io/apimachinery, and the encoding's own
 * description (protobuf.dev/programming-guides/encoding). Texts are strings in quotes; numbers,
 * truth values and times are as JSON would have them; texts that are empty are left out, as JSON
 * does. Line numbers are 0. */
#pragma once

#include "base/arena.h"
#include "base/cursor.h"
#include "base/err.h"
#include "config/tree.h"

#define PROTO_NODES_MAX 1000000 /* tree nodes of one message */

struct proto_message;

/* By the kind's name: "Service", ..., "Status", "PartialObjectMetadata"; "List": what the Lists of
 * all kinds have in common, their items left out. NULL: unknown. */
const struct proto_message *proto_message_find(const char *kind);

/* What the envelope of an object says (runtime.Unknown behind the magic "k8s\0"); texts are in the
 * arena, raw points into the message. */
struct proto_object {
    const char *kind, *api_version;
    const uint8_t *raw;
    size_t len;
};
int proto_unwrap(const void *p, size_t n, struct arena *a, struct proto_object *ret, struct err *e);

/* One message as a mapping in the arena, without the fields that nobody wants who does without
 * these parts (enum object_part). Errors: ERR_PARSE, ERR_LIMIT; texts name no place. */
int proto_tree(const struct proto_message *m, unsigned without, const void *p, size_t n,
               struct arena *a, const struct tree **ret, struct err *e);

/* For streams, where a message is not there as a whole: the next field's number and how many bytes
 * its head (tag, length, or all of a number) and its payload take. 1; 0: the head is not there yet;
 * or ERR_PARSE. */
struct proto_head {
    uint32_t number;
    bool has_bytes; /* a payload follows, of len bytes */
    size_t head, len;
};
int proto_head(const void *p, size_t n, struct proto_head *ret, struct err *e);
/* The items of a List of any kind, one after the other: 1, 0 at the end, or ERR_PARSE. */
int proto_list_next(struct cursor *list, const uint8_t **ret, size_t *ret_len, struct err *e);
/* A watch event: what has happened to the object ("ADDED", ... in the arena), and the object with
 * its envelope. */
int proto_event(const void *p, size_t n, struct arena *a, const char **ret_type,
                const uint8_t **ret_object, size_t *ret_len, struct err *e);
