/* Memory that runs out: the reserve, the shortage, and its end. In a child with a limit of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#define BLOCK 4096
#define MOST  100000

#define want(x)                                                                                    \
    do {                                                                                           \
        if (!(x))                                                                                  \
            return __LINE__;                                                                       \
    } while (0)

static void *held[MOST];

static void pause_for_retry(void)
{
    const struct timespec t = { 0, 2 * MEM_RETRY_NS };
    (void)nanosleep(&t, NULL);
}

static int limit(size_t room)
{
    long pages = 0;
    struct rlimit l;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f || fscanf(f, "%ld", &pages) != 1 || getrlimit(RLIMIT_AS, &l) < 0)
        return -1;
    (void)fclose(f);
    l.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + room;
    return setrlimit(RLIMIT_AS, &l);
}

/* Until there is no more. */
static unsigned take_all(void)
{
    unsigned n = 0;
    while (n < MOST && (held[n] = mem_try(BLOCK)))
        n++;
    return n;
}

static int runs_out(void)
{
    mem_reserve();
    want(limit(16 << 20) == 0);
    want(!mem_is_short());
    unsigned n = take_all();
    want(n > 1000 && n < MOST);
    want(mem_is_short());
    want(mem_try(1) == NULL); /* however small */
    char *x[100];
    for (int i = 0; i < 100; i++)
        want((x[i] = xmalloc(BLOCK)) != NULL); /* from the reserve */
    pause_for_retry();
    want(mem_is_short()); /* the reserve is gone */
    x[0] = xrealloc(x[0], (size_t)2 * BLOCK);
    for (int i = 0; i < 100; i++)
        free(x[i]);
    for (unsigned i = 0; i < n; i++)
        free(held[i]);
    pause_for_retry();
    want(!mem_is_short());
    void *p = mem_try(BLOCK);
    want(p);
    free(p);
    return 0;
}

/* The reserve has an end, and then the process has. */
static int ends(void)
{
    mem_reserve();
    want(limit(16 << 20) == 0);
    want(freopen("/dev/null", "w", stderr));
    for (;;)
        want(xmalloc(BLOCK));
}

/* It was found a moment ago, and then it is gone. */
static int turns(void)
{
    struct rlimit none;
    struct mem_room room = { 0 };
    want(getrlimit(RLIMIT_AS, &none) == 0);
    want(mem_room_take(&room, 1, MEM_ROOM / 4));
    want(limit(256 << 10) == 0);
    for (int i = 0; i < 3; i++)
        want(mem_room_take(&room, 1, MEM_ROOM / 4));
    uint64_t before = mem_put_off();
    want(!mem_room_take(&room, 1, 1)); /* it is used up */
    want(!mem_room_take(&room, 1, 0));
    want(mem_put_off() == before + 2);
    want(setrlimit(RLIMIT_AS, &none) == 0);
    want(mem_room_take(&room, 1, MEM_ROOM / 2));
    want(limit(256 << 10) == 0);
    want(!mem_room_take(&room, 2, 1)); /* what was found in another turn does not hold */
    return 0;
}

static int status_of(int (*fn)(void))
{
    int status = 0;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit none = { 0, 0 };
        (void)setrlimit(RLIMIT_CORE, &none);
        _exit(fn());
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    return status;
}

static void passes(int (*fn)(void))
{
#ifdef SANITIZED
    skip(); /* its shadow memory does not go together with a limit */
#endif
    int status = status_of(fn);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        fail_msg("line %d, signal %d", WEXITSTATUS(status), WTERMSIG(status));
}

static void test_runs_out(void **state)
{
    (void)state;
    passes(runs_out);
}

static void test_turns(void **state)
{
    (void)state;
    passes(turns);
}

static void test_ends(void **state)
{
    (void)state;
#ifdef SANITIZED
    skip();
#endif
    int status = status_of(ends);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void test_plenty(void **state)
{
    (void)state;
    assert_false(mem_is_short());
    void *p = mem_try(0);
    assert_non_null(p);
    free(p);
}

static void test_room(void **state)
{
    (void)state;
    uint64_t before = mem_put_off();
    assert_true(mem_has_room(1 << 20));
    assert_int_equal(mem_put_off(), before);
    assert_false(mem_has_room((size_t)1 << 60));
    assert_int_equal(mem_put_off(), before + 1);
    assert_false(mem_is_short());
}

static void test_in_use(void **state)
{
    (void)state;
#ifdef SANITIZED
    skip();
#endif
    size_t before = mem_in_use();
    void *small = xmalloc(1000), *large = xmalloc(8 << 20);
    assert_true(mem_in_use() >= before + 1000 + (8 << 20));
    free(small);
    free(large);
    assert_true(mem_in_use() < before + 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plenty), cmocka_unit_test(test_runs_out),
        cmocka_unit_test(test_ends),   cmocka_unit_test(test_room),
        cmocka_unit_test(test_turns),  cmocka_unit_test(test_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
