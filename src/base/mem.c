#include "base/mem.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <malloc.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

/* Blocks of a size that malloc() keeps together, so that what they leave serves any purpose. */
static void *reserve[MEM_RESERVE];
static atomic_bool is_reserved, is_short;
static _Atomic int64_t short_until_ns;
static _Atomic uint64_t put_off;

/* ---- the reserve ---- */

static void free_blocks(void)
{
    for (int i = 0; i < MEM_RESERVE; i++)
        free(reserve[i]);
}

/* One thread at a time. */
static bool reserve_blocks(void)
{
    memset(reserve, 0, sizeof reserve);
    for (int i = 0; i < MEM_RESERVE; i++) {
        reserve[i] = malloc(MEM_BLOCK);
        if (!reserve[i]) {
            free_blocks();
            return false;
        }
    }
    atomic_store(&is_reserved, true);
    return true;
}

void mem_reserve(void)
{
    if (!atomic_load(&is_reserved))
        (void)reserve_blocks();
}

static void begin_shortage(void)
{
    atomic_store(&short_until_ns, clock_ns() + MEM_RETRY_NS);
    atomic_store(&is_short, true);
}

/* False: it was given up before. */
static bool give_up_reserve(void)
{
    if (!atomic_exchange(&is_reserved, false))
        return false;
    begin_shortage();
    free_blocks();
    return true;
}

/* One thread at a time, and not all the time. */
static void look_for_room(void)
{
    int64_t now = clock_ns(), until = atomic_load(&short_until_ns);
    if (now < until || !atomic_compare_exchange_strong(&short_until_ns, &until, now + MEM_RETRY_NS))
        return;
    if (atomic_load(&is_reserved) || reserve_blocks())
        atomic_store(&is_short, false);
}

bool mem_is_short(void)
{
    if (__builtin_expect(!atomic_load_explicit(&is_short, memory_order_relaxed), 1))
        return false;
    look_for_room();
    return atomic_load(&is_short);
}

void *mem_try(size_t size)
{
    void *p = mem_is_short() ? NULL : malloc(size ? size : 1);
    if (!p && !atomic_load(&is_short))
        begin_shortage();
    return p;
}

/* ---- what can wait ---- */

/* Not with malloc(), which learns from large blocks that are given back. */
static bool can_map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    (void)munmap(p, bytes);
    return true;
}

bool mem_has_room(size_t bytes)
{
    if (!mem_is_short() && can_map(bytes))
        return true;
    atomic_fetch_add(&put_off, 1);
    return false;
}

bool mem_room_take(struct mem_room *r, uint64_t turn, size_t bytes)
{
    if (r->turn != turn || r->left < MAX(bytes, (size_t)1) || mem_is_short()) {
        size_t ask = MAX(MEM_ROOM, bytes);
        bool found = mem_has_room(ask);
        *r = (struct mem_room){ .turn = turn, .left = found ? ask : 0 };
        if (!found)
            return false;
    }
    r->left -= bytes;
    return true;
}

uint64_t mem_put_off(void)
{
    return atomic_load(&put_off);
}

size_t mem_in_use(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* ---- what must not fail ---- */

static noreturn_fn void out_of_memory(size_t size)
{
    (void)fprintf(stderr, "signpost: out of memory (%zu bytes wanted)\n", size);
    abort();
}

void *xmalloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    while (!p && give_up_reserve())
        p = malloc(size ? size : 1);
    if (!p)
        out_of_memory(size);
    return p;
}

void *xcalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    while (!p && give_up_reserve())
        p = calloc(n ? n : 1, size ? size : 1);
    if (!p)
        out_of_memory(n * size);
    return p;
}

void *xrealloc(void *p, size_t size)
{
    for (;;) {
        void *q = realloc(p, size ? size : 1);
        if (q)
            return q;
        if (!give_up_reserve())
            out_of_memory(size);
    }
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t n)
{
    char *p = xmalloc(n + 1);
    memcpy(p, s, n);
    p[n] = 0;
    return p;
}
