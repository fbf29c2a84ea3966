/* `sign DBFILE [ZONES...] { key file KEY... ; directory DIR }`: signs zone files now and then. A
 * thread of its own does it, and `file` reads what it writes. */
#include "base/clock.h"
#include "base/vec.h"
#include "dns/dnskey_list.h"
#include "dns/zone_sign.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#define DIRECTORY    "/var/lib/coredns"
#define HOUR         3600
#define DAY          (24 * HOUR)
#define BACK         (3 * HOUR)  /* before now, where a signature's time begins; */
#define BACK_JITTER  (18 * HOUR) /* up to that much earlier */
#define AHEAD        (32 * DAY)  /* and where it ends; */
#define AHEAD_JITTER (5 * DAY)   /* up to that much later */
#define AGE_MAX      (6 * DAY)   /* signatures older than that are made anew, */
#define LEFT_MIN     (7 * DAY)   /* as are those with less than that left */
#define CHECK_EVERY  (5 * HOUR)
#define LOOK_EVERY   5  /* seconds between looks at the two files' times */
#define RETRY_AFTER  60 /* seconds */

/* One zone. */
struct zone_job {
    const char *path, *signed_path, *directory;
    const char *zone; /* text */
    const uint8_t *origin;
    const struct dnskey_list *list;
    const char *tags;             /* "1234,5678" */
    uint32_t back, ahead;         /* jitter, seconds */
    int64_t next_check, next_try; /* monotonic seconds */
    struct timespec from;         /* the file's time when it was signed last; 0: not by us */
    char failure[512];            /* that was logged last */
};

struct sign {
    VEC(struct zone_job) jobs;
    VEC(struct dnskey_list *) lists;
    pthread_t thread;
    bool running;
    _Atomic bool stop;
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

/* ---- one zone ---- */

static struct zone_signing signing_of(const struct sign *s, const struct zone_job *j, int64_t now)
{
    return (struct zone_signing){
        .keys = j->list->keys,
        .n_keys = j->list->n,
        .times = { (uint32_t)(now - BACK - j->back), (uint32_t)(now + AHEAD + j->ahead) },
        .serial = (uint32_t)now,
        .stop = &s->stop,
    };
}

static int write_zone(const struct sign *s, const struct zone_job *j, int64_t now, FILE *out,
                      struct err *e)
{
    struct zone_signing signing = signing_of(s, j, now);
    int code = zone_sign(j->path, j->origin, &signing, out, e);
    if (code == 0 && (fflush(out) != 0 || fsync(fileno(out)) != 0))
        code = err_set(e, -errno, "write: %s", strerror(errno));
    return code;
}

/* Aside first, then into place at once. */
static int sign_zone(const struct sign *s, const struct zone_job *j, int64_t now, struct err *e)
{
    cleanup_free char *aside = NULL;
    if (asprintf(&aside, "%s/signed-XXXXXX", j->directory) < 0)
        return err_set(e, -ENOMEM, "out of memory");
    int fd = mkostemp(aside, O_CLOEXEC);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out)
        return err_set(e, -errno, "open %s: %s", aside, strerror(errno));
    int code = write_zone(s, j, now, out, e);
    if (fclose(out) != 0 && code == 0)
        code = err_set(e, -errno, "write %s: %s", aside, strerror(errno));
    if (code == 0 && rename(aside, j->signed_path) != 0)
        code = err_set(e, -errno, "rename to %s: %s", j->signed_path, strerror(errno));
    if (code < 0)
        (void)unlink(aside);
    return code;
}

static bool is_after(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* A file from the future is signed once, and not over and over. */
static bool has_changed(const struct zone_job *j, const struct stat *from, const struct stat *to)
{
    bool known = j->from.tv_sec == from->st_mtim.tv_sec && j->from.tv_nsec == from->st_mtim.tv_nsec;
    return !known && is_after(&from->st_mtim, &to->st_mtim);
}

/* True: the zone is to be signed, for the reason in *ret_why. */
static bool is_due(const struct sign *s, struct zone_job *j, int64_t now, struct err *ret_why)
{
    struct stat from, to;
    struct zone_sign_limits limits = { AGE_MAX, LEFT_MIN };
    if (stat(j->signed_path, &to) < 0) {
        (void)err_set(ret_why, -errno, "open %s: %s", j->signed_path, strerror(errno));
        return true;
    }
    if (stat(j->path, &from) == 0 && has_changed(j, &from, &to)) {
        (void)err_set(ret_why, ERR_INVALID, "%s has changed", j->path);
        return true;
    }
    if (now < j->next_check)
        return false;
    j->next_check = now + CHECK_EVERY;
    struct zone_signing signing = signing_of(s, j, clock_unix());
    return zone_sign_check(j->signed_path, j->origin, &signing, &limits, clock_unix(), ret_why) < 0;
}

/* A failure that repeats is told once. */
static void tell_failure(struct zone_job *j, const struct err *e)
{
    if (strcmp(j->failure, e->text) == 0)
        return;
    (void)snprintf(j->failure, sizeof j->failure, "%s", e->text);
    log_warning("plugin/sign: Error signing \"%s\" with key tags \"%s\": %s; trying again in %d s",
                j->zone, j->tags, e->text, RETRY_AFTER);
}

static void run(struct sign *s, struct zone_job *j, const struct err *why)
{
    struct err e = { 0 };
    int64_t unix_now = clock_unix(), began = clock_ns();
    struct stat from = { 0 };
    (void)stat(j->path, &from); /* before it is read */
    if (!j->failure[0])
        log_info("plugin/sign: Signing \"%s\" because %s", j->zone, why->text);
    int code = sign_zone(s, j, unix_now, &e);
    j->next_check = j->next_try = began / 1000000000 + (code < 0 ? RETRY_AFTER : 0);
    if (code == -ECANCELED)
        return;
    if (code < 0) {
        tell_failure(j, &e);
        return;
    }
    j->failure[0] = 0;
    j->from = from.st_mtim;
    j->next_check += CHECK_EVERY;
    log_info("plugin/sign: Successfully signed zone \"%s\" in \"%s\" with key tags \"%s\" and %u "
             "SOA serial, elapsed %f",
             j->zone, j->signed_path, j->tags, (unsigned)(uint32_t)unix_now,
             (double)(clock_ns() - began) / 1e9);
}

/* ---- the thread ---- */

static void look(struct sign *s, bool first)
{
    vec_each (j, &s->jobs) {
        struct err why = { 0 };
        int64_t now = clock_ns() / 1000000000;
        if (atomic_load(&s->stop))
            return;
        if (now < j->next_try)
            continue;
        if (is_due(s, j, now, &why))
            run(s, j, &why);
        else if (first)
            log_info("plugin/sign: Skipping signing zone \"%s\" in \"%s\": signatures are valid",
                     j->zone, j->signed_path);
    }
}

static void *thread_main(void *arg)
{
    struct sign *s = arg;
    for (bool first = true; !atomic_load(&s->stop); first = false) {
        struct timespec until;
        look(s, first);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += LOOK_EVERY;
        pthread_mutex_lock(&s->lock);
        while (!atomic_load(&s->stop) &&
               pthread_cond_timedwait(&s->wake, &s->lock, &until) != ETIMEDOUT)
            ;
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

static int sign_start(void *conf, struct err *e)
{
    struct sign *s = conf;
    pthread_condattr_t attr;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    int code = pthread_create(&s->thread, NULL, thread_main, s);
    if (code != 0)
        return err_set(e, -code, "plugin/sign: thread: %s", strerror(code));
    s->running = true;
    return 0;
}

static void sign_stop(void *conf)
{
    struct sign *s = conf;
    if (s->running) {
        pthread_mutex_lock(&s->lock);
        atomic_store(&s->stop, true);
        pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
        pthread_cond_destroy(&s->wake);
        pthread_mutex_destroy(&s->lock);
    }
    vec_each (l, &s->lists)
        dnskey_list_done(*l);
    vec_done(&s->lists);
    vec_done(&s->jobs);
}

/* ---- set-up ---- */

/* What one line and its block say. */
struct line {
    const char *path, *directory;
    struct zone_list zones;
    struct dnskey_list *list;
};

static int read_keys(struct setup *setup, struct dispenser *d, struct dnskey_list *l, struct err *e)
{
    unsigned before = l->n;
    int code = dnskey_list_read(l, setup, d, e);
    for (unsigned i = before; code == 0 && i < l->n; i++)
        if (!dnskey_is_ksk(l->keys[i]))
            code = dispenser_err(d, e, "key %u is not a CSK/KSK", l->keys[i]->tag);
    return code;
}

static int read_directory(struct setup *setup, struct dispenser *d, struct line *l, struct err *e)
{
    if (!dispenser_next_arg(d))
        return dispenser_err(d, e, "can only be one argument after \"directory\"");
    l->directory = setup_path(setup, dispenser_val(d));
    return dispenser_next_arg(d)
               ? dispenser_err(d, e, "can only be one argument after \"directory\"")
               : 0;
}

static int read_option(struct setup *setup, struct dispenser *d, struct line *l, struct err *e)
{
    if (strcmp(dispenser_val(d), "key") == 0)
        return read_keys(setup, d, l->list, e);
    if (strcmp(dispenser_val(d), "directory") == 0)
        return read_directory(setup, d, l, e);
    return dispenser_unknown(d, e);
}

static const char *tags_of(struct setup *setup, const struct line *l)
{
    const char *text = "";
    for (size_t i = 0; i < l->list->n; i++)
        text =
            arena_printf(setup_arena(setup), "%s%s%u", text, i ? "," : "", l->list->keys[i]->tag);
    return text;
}

static int add_zone(struct sign *s, struct setup *setup, const struct dispenser *d,
                    const struct line *l, const char *zone, struct err *e)
{
    struct arena *a = setup_arena(setup);
    struct name name;
    struct rand rand;
    if (name_from_text(zone, &name) < 0)
        return dispenser_err(d, e, "\"%s\" is not a domain name", zone);
    if (strchr(zone, '/'))
        return dispenser_err(d, e, "zone \"%s\" cannot be part of a file's name", zone);
    rand_init(&rand);
    vec_push(&s->jobs, (struct zone_job){
                           .path = l->path,
                           .signed_path = arena_printf(a, "%s/db.%ssigned", l->directory, zone),
                           .directory = l->directory,
                           .zone = zone,
                           .origin = arena_memdup(a, name.wire, name.len),
                           .list = l->list,
                           .tags = tags_of(setup, l),
                           .back = rand_below(&rand, BACK_JITTER),
                           .ahead = rand_below(&rand, AHEAD_JITTER),
                       });
    return 0;
}

static int read_line(struct sign *s, struct setup *setup, struct dispenser *d, struct err *e)
{
    struct arena *a = setup_arena(setup);
    struct line l = { .directory = DIRECTORY, .list = arena_zalloc(a, sizeof *l.list) };
    struct dispenser at = *d;
    struct err why;
    int code = 0;
    vec_push(&s->lists, l.list);
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    l.path = setup_path(setup, dispenser_val(d));
    while (dispenser_next_arg(d))
        if (zone_expand(dispenser_val(d), a, &l.zones, &why) < 0)
            return dispenser_err(d, e, "%s", why.text);
    while (code == 0 && dispenser_next_block(d))
        code = read_option(setup, d, &l, e);
    if (code == 0 && !l.list->n)
        code = dispenser_err(&at, e, "there is no key to sign with; add 'key file KEY'");
    if (code == 0)
        setup_writes(setup, l.directory);
    if (!l.zones.n)
        l.zones = setup_zones(setup);
    for (size_t i = 0; code == 0 && i < l.zones.n; i++)
        code = add_zone(s, setup, &at, &l, l.zones.items[i], e);
    return code;
}

static int sign_setup(struct setup *setup, struct dispenser *d, struct err *e)
{
    struct sign *s = arena_zalloc(setup_arena(setup), sizeof *s);
    int code = 0;
    setup_stop(setup, sign_stop, s);
    while (code == 0 && dispenser_next_directive(d))
        code = read_line(s, setup, d, e);
    if (code == 0)
        setup_start(setup, sign_start, s);
    return code;
}

const struct plugin plugin_sign = {
    .name = "sign", .setup = sign_setup, .repeatable = true, .outward = true
};
