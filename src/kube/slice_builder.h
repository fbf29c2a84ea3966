/* Collects the endpoints of one slice: the decoder and the planner fill it, then point a `struct
 * slice` at its arrays and take object_copy(). Equal strings get the same offset. It can be used
 * again and again; its memory stays until slice_builder_done(). */
#pragma once

#include "base/vec.h"
#include "kube/slice.h"

struct slice_builder {
    VEC(struct endpoint) endpoints;
    VEC(struct endpoint_more) more; /* of each, or of none */
    VEC(uint32_t) hints;
    VEC(struct endpoint_target) targets;
    VEC(char) pool;
    uint32_t *table; /* offsets of the pool's strings, hashed; 0: free */
    uint32_t n_strings, table_size;
};

void slice_builder_reset(
    struct slice_builder *b); /* zeroed memory needs none before its first use */
void slice_builder_done(struct slice_builder *b);
/* The offset of a string; NULL and "" are 0. */
uint32_t slice_builder_text(struct slice_builder *b, const char *s);
struct endpoint_target slice_builder_target(struct slice_builder *b, const struct target_ref *ref);
/* Points the slice's lists at the builder's arrays. */
void slice_builder_finish(const struct slice_builder *b, struct slice *s);
