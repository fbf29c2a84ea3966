#include "golden.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names without "." and "..", sorted; each and the array to be freed. */
static size_t folder_list(const char *path, char ***ret_names)
{
    VEC(char *) names = { 0 };
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            vec_push(&names, xstrdup(e->d_name));
    if (d)
        closedir(d);
    if (names.n)
        qsort(names.items, names.n, sizeof *names.items, by_text);
    *ret_names = names.items;
    return names.n;
}

void golden_each(const char *cases, void (*run)(void *ctx, const char *folder), void *ctx)
{
    char folder[GOLDEN_PATH_MAX];
    char **names;
    size_t n = folder_list(cases, &names);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(folder, sizeof folder, "%s/%s", cases, names[i]);
        run(ctx, folder);
        free(names[i]);
    }
    free(names);
}

void golden_objects(struct objects *o, const char *folder, const char *name)
{
    char path[GOLDEN_PATH_MAX];
    size_t len = 0;
    (void)snprintf(path, sizeof path, "%s/in.yaml", folder);
    cleanup_free char *text = text_of_file(path, &len);
    if (!text)
        fail_msg("%s cannot be read", path);
    objects_read(o, text, len, name ? name : path);
}

static void write_text(const char *path, const char *text)
{
    cleanup_fclose FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) >= 0, 1);
}

static void compare(const char *path, const char *text)
{
    cleanup_free char *want = text_of_file(path, NULL);
    if (!want)
        fail_msg("%s cannot be read", path);
    if (strcmp(want, text) == 0)
        return;
    size_t i = 0;
    int line = 1;
    for (; want[i] && want[i] == text[i]; i++)
        line += want[i] == '\n';
    while (i && want[i - 1] != '\n')
        i--;
    fail_msg("%s:%d differs\n  want: %.*s\n  have: %.*s", path, line, (int)strcspn(want + i, "\n"),
             want + i, (int)strcspn(text + i, "\n"), text + i);
}

void golden_expect(const char *folder, const char *file, const char *text)
{
    char path[GOLDEN_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", folder, file);
    if (getenv("UPDATE_GOLDEN"))
        write_text(path, text ? text : "");
    else
        compare(path, text ? text : "");
}
