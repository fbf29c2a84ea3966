/* Allocation, and what happens when there is none left.
 *
 * The x functions are for start-up and control paths: going on with half a configuration would be
 * worse than ending, so running out of memory ends the process with a message. Before that a
 * reserve is given up. From then on, or from the first failure of mem_try(), memory is short:
 * packet paths take on no new work that needs memory, so that what is under way can be finished. As
 * soon as there is room for the reserve again, memory is not short any more.
 *
 * What replaces something that serves (a configuration, a file's objects, a zone) asks beforehand
 * with mem_has_room() whether there is enough for it, and is put off if not: the old one serves on.
 * docs/decisions/0012. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEM_RESERVE  64         /* blocks set aside, untouched: address space, hardly memory */
#define MEM_BLOCK    (64 << 10) /* bytes of each */
#define MEM_RETRY_NS 100000000  /* memory is short for so long at least */

/* Sets the reserve aside. Without it x functions end the process at once. */
void mem_reserve(void);
/* Any thread; an atomic load as long as all is well. */
bool mem_is_short(void);
/* Could so much be had now? What cannot be had is counted as put off. Not for packets: it asks the
 * kernel. */
bool mem_has_room(size_t bytes);
/* The same for what comes in many small pieces: room that was found holds for the pieces of one
 * turn (of a loop: uv_now()) until they have taken it, so that the kernel is not asked for each.
 * Zeroed at first. */
#define MEM_ROOM ((size_t)4 << 20) /* that is asked for at least */
struct mem_room {
    uint64_t turn;
    size_t left;
};
bool mem_room_take(struct mem_room *r, uint64_t turn, size_t bytes);
/* How often it could not. */
uint64_t mem_put_off(void);
/* Bytes that malloc() has given out, in all threads. */
size_t mem_in_use(void);
/* malloc() for packets and connections: NULL when memory is short or has run out. */
void *mem_try(size_t size);

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
