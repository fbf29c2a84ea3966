#include "lab/spread.h"

#include "base/str.h"
#include "base/table.h"
#include "lab/enter.h"

#include <jansson.h>
#include <string.h>

#define SPREAD_NS   60000000000LL
#define BAR_COLUMNS 40

static void count_answer(struct spread *s, const char *pod)
{
    unsigned i = 0;
    while (i < s->n && strcmp(s->pods[i].pod, pod) < 0)
        i++;
    s->answered++;
    if (i == s->n || strcmp(s->pods[i].pod, pod) != 0) {
        if (s->n == SPREAD_PODS_MAX)
            return;
        memmove(&s->pods[i + 1], &s->pods[i], (s->n - i) * sizeof s->pods[0]);
        s->pods[i] = (struct spread_count){ .count = 0 };
        snprintf(s->pods[i].pod, sizeof s->pods[i].pod, "%s", pod);
        s->n++;
    }
    s->pods[i].count++;
}

static void read_answers(struct spread *s, char *text)
{
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        json_t *json = json_loads(line, 0, NULL);
        const char *pod = json_string_value(json_object_get(json, "pod"));
        if (pod)
            count_answer(s, pod);
        json_decref(json);
    }
}

int spread_measure(pid_t client, const char *name, unsigned requests, const char *patience,
                   struct spread *ret, struct err *e)
{
    char url[300];
    struct ran r;
    const char *const argv[] = { "curl", "-s", "--connect-timeout", patience, "--max-time",
                                 "3",    "-H", "Connection: close", url,      NULL };
    snprintf(url, sizeof url, "http://%s/?request=[1-%u]", name, requests);
    int code = enter_run(client, argv, SPREAD_NS, &r, e);
    if (code < 0)
        return code;
    *ret = (struct spread){ .ns = r.ns };
    read_answers(ret, r.out.p);
    ret->failed = requests > ret->answered ? requests - ret->answered : 0;
    ran_done(&r);
    return 0;
}

uint64_t spread_of(const struct spread *s, const char *pod)
{
    for (unsigned i = 0; i < s->n; i++) {
        if (str_eq(s->pods[i].pod, pod))
            return s->pods[i].count;
    }
    return 0;
}

void spread_print(const struct spread *s, const char *title, FILE *out)
{
    struct bar bars[SPREAD_PODS_MAX];
    for (unsigned i = 0; i < s->n; i++)
        bars[i] = (struct bar){ s->pods[i].pod, s->pods[i].count, TABLE_GOOD };
    bars_print(out, title, bars, s->n, BAR_COLUMNS);
    if (s->failed)
        tone_line(out, TABLE_BAD, "%llu requests failed", (unsigned long long)s->failed);
}

int spread_check(const struct spread *s, unsigned requests, const char *const *pods, struct err *e)
{
    unsigned n = 0;
    while (pods[n])
        n++;
    if (s->answered != requests)
        return err_set(e, ERR_REFUSED, "%llu of %u requests were answered",
                       (unsigned long long)s->answered, requests);
    for (unsigned i = 0; i < n; i++) {
        if (spread_of(s, pods[i]) * 2 * n < requests)
            return err_set(e, ERR_REFUSED, "%s answered %llu of %u requests", pods[i],
                           (unsigned long long)spread_of(s, pods[i]), requests);
    }
    return s->n == n ? 0 : err_set(e, ERR_REFUSED, "%u pods answered, not %u", s->n, n);
}
