#include "config/flags.h"

#include "base/mem.h"
#include "base/str.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>

struct parse {
    const struct command *command;
    const struct flag *flags;
    size_t n;
    bool *given; /* one for each flag */
    struct err *e;
};

void flag_list_done(struct flag_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free((char *)(uintptr_t)l->items[i]);
    free(l->items);
    *l = (struct flag_list){ 0 };
}

/* The flag's name without dashes, or NULL for an argument; "-" is one. */
static const char *name_in(const char *arg)
{
    if (arg[0] != '-' || !arg[1])
        return NULL;
    return arg + (arg[1] == '-' ? 2 : 1);
}

static const struct flag *find(const struct parse *p, const char *name)
{
    size_t len = strcspn(name, "=");
    for (size_t i = 0; i < p->n; i++)
        if (strncmp(p->flags[i].name, name, len) == 0 && !p->flags[i].name[len])
            return &p->flags[i];
    return NULL;
}

typedef void show_fn(const struct command *c, const struct flag *flags, size_t n, FILE *out);

static void show_version(const struct command *c, const struct flag *flags, size_t n, FILE *out)
{
    (void)c;
    (void)flags;
    (void)n;
    (void)fprintf(out, "signpost %s\n", SIGNPOST_VERSION);
}

/* The flags that every command has: each prints a text made from the table. */
static show_fn *find_show(const char *name)
{
    static const struct {
        const char *name;
        show_fn *show;
    } shows[] = { { "help", flags_help },
                  { "h", flags_help },
                  { "version", show_version },
                  { "man", flags_man },
                  { "completion", flags_completion } };
    for (size_t i = 0; i < ARRAY_SIZE(shows); i++)
        if (str_eq(name, shows[i].name))
            return shows[i].show;
    return NULL;
}

/* Looked for first: the defaults that the text shows must not have been overwritten yet. */
static show_fn *wanted_show(const struct parse *p, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = name_in(argv[i]);
        const struct flag *f = name ? find(p, name) : NULL;
        if (name && !*name)
            return NULL;
        if (f)
            i += f->kind != FLAG_BOOL && !strchr(name, '=');
        else if (name && find_show(name))
            return find_show(name);
    }
    return NULL;
}

static int bad_value(const struct parse *p, const struct flag *f, const char *value,
                     const char *wanted)
{
    return err_set(p->e, ERR_INVALID, "invalid value \"%s\" for --%s: give %s", value, f->name,
                   wanted);
}

static int set_bool(const struct parse *p, const struct flag *f, const char *value)
{
    static const char *const yes[] = { "true", "1", "t", "T", "TRUE", "True" };
    static const char *const no[] = { "false", "0", "f", "F", "FALSE", "False" };
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (!str_eq(value, yes[i]) && !str_eq(value, no[i]))
            continue;
        *(bool *)f->value = str_eq(value, yes[i]);
        return 0;
    }
    return bad_value(p, f, value, "true or false");
}

static void add_items(const struct parse *p, const struct flag *f, const char *value)
{
    struct flag_list *l = f->value;
    if (!p->given[f - p->flags])
        *l = (struct flag_list){ 0 };
    while (*value) {
        size_t n = strcspn(value, ",");
        l->items = xrealloc(l->items, (l->n + 1) * sizeof *l->items);
        l->items[l->n++] = xstrndup(value, n);
        value += n + (value[n] == ',');
    }
}

static int set(const struct parse *p, const struct flag *f, const char *value)
{
    int r = 0;
    switch (f->kind) {
    case FLAG_BOOL:
        return set_bool(p, f, value);
    case FLAG_STRING:
        *(const char **)f->value = value;
        break;
    case FLAG_INT:
        if (str_to_long(value, LONG_MIN, LONG_MAX, f->value) < 0)
            r = bad_value(p, f, value, "a whole number");
        break;
    case FLAG_DURATION:
        if (str_to_duration(value, f->value) < 0)
            r = bad_value(p, f, value, "a duration such as 500ms, 30s or 1h30m");
        break;
    case FLAG_LIST:
        add_items(p, f, value);
        break;
    }
    p->given[f - p->flags] = true;
    return r;
}

/* Takes the flag at argv[*i] and its value. */
static int take(const struct parse *p, const char *name, int argc, char **argv, int *i)
{
    const struct flag *f = find(p, name);
    const char *equals = strchr(name, '=');
    if (!f)
        return err_set(p->e, ERR_INVALID,
                       "unknown flag %.*s: \"signpost %s --help\" lists them all",
                       (int)strcspn(argv[*i], "="), argv[*i], p->command->name);
    if (equals)
        return set(p, f, equals + 1);
    if (f->kind == FLAG_BOOL)
        return set(p, f, "true");
    if (*i + 1 == argc)
        return err_set(p->e, ERR_INVALID, "the flag --%s needs a value: %s", f->name,
                       f->arg ? f->arg : "VALUE");
    return set(p, f, argv[++*i]);
}

static int take_all(const struct parse *p, int argc, char **argv, int *ret_left)
{
    bool ended = false;
    int left = 0, r = 0;
    for (int i = 1; i < argc && r == 0; i++) {
        const char *name = ended ? NULL : name_in(argv[i]);
        if (!name)
            argv[left++] = argv[i];
        else if (!*name)
            ended = true;
        else
            r = take(p, name, argc, argv, &i);
    }
    if (r == 0)
        *ret_left = left;
    return r;
}

int flags_parse(const struct command *c, const struct flag *flags, size_t n, int argc, char **argv,
                int *ret_left, struct err *e)
{
    struct parse p = { .command = c, .flags = flags, .n = n, .e = e };
    show_fn *show = wanted_show(&p, argc, argv);
    if (show) {
        show(c, flags, n, stdout);
        return 1;
    }
    p.given = xcalloc(n + 1, sizeof *p.given);
    int r = take_all(&p, argc, argv, ret_left);
    free(p.given);
    return r;
}
