/* `signpost check`: reads Corefiles and manifests as the servers would, without serving. */
#include "base/file.h"
#include "base/log.h"
#include "cmd/cluster.h"
#include "cmd/commands.h"
#include "cmd/corefile.h"
#include "dns/server.h"
#include "kube/decode.h"
#include "source/dir.h"

#include <string.h>
#include <sys/stat.h>

static bool explain;

static const struct flag flags[] = {
    { "explain", FLAG_BOOL, &explain, NULL, "Print the compiled chain of each zone." },
};

struct checked {
    uv_loop_t *loop;
    struct clusters clusters;
    size_t problems;
};

static void tell(void *ctx, const char *text)
{
    ((struct checked *)ctx)->problems++;
    (void)fprintf(stderr, "%s\n", text);
}

static void print_chains(const struct dns_server *server)
{
    struct strbuf text = { 0 };
    dns_server_explain(server, &text);
    (void)fputs(text.p ? text.p : "", stdout);
    strbuf_done(&text);
}

/* Every problem is told, not only the first; what the text itself breaks ends the reading. */
static int set_up(const char *path, struct checked *c, struct err *e)
{
    struct corefile *corefile = NULL;
    struct dns_server *server = NULL;
    struct dns_options options = { .workers = 1,
                                   .loop = c->loop,
                                   .open_source = clusters_open_source,
                                   .source_ctx = &c->clusters,
                                   .problem = tell,
                                   .ctx = c };
    int ret = command_corefile_lenient(path, &corefile, e);
    if (ret < 0)
        return ret;
    (void)command_unknown_directives(corefile, tell, c);
    ret = dns_server_new(corefile, &options, &server, e);
    if (ret < 0 && !c->problems)
        return ret;
    if (c->problems)
        ret = err_set(e, ERR_INVALID, "%s: %zu problem%s", path, c->problems,
                      c->problems > 1 ? "s" : "");
    else if (explain)
        print_chains(server);
    dns_server_free(server);
    return ret;
}

static int check_corefile(const char *path, struct err *e)
{
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct checked c = { .loop = &loop };
    int ret = set_up(path, &c, e);
    clusters_close(&c.clusters);
    uv_run(&loop, UV_RUN_NOWAIT); /* handles that set-ups had opened are closed by now */
    uv_loop_close(&loop);
    return ret;
}

static bool is_manifest(const char *path)
{
    struct stat st;
    return str_ends(path, ".yaml") || str_ends(path, ".yml") || str_ends(path, ".json") ||
           (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

/* What a file or folder holds. All problems are told, not only the first. */
struct tally {
    size_t objects, problems;
};

static void count_object(void *ctx, struct object *o)
{
    ((struct tally *)ctx)->objects++;
    object_free(o);
}

static void count_problem(void *ctx, const char *text)
{
    ((struct tally *)ctx)->problems++;
    (void)fprintf(stderr, "%s\n", text);
}

static void count_bad_object(void *ctx, const struct err *e)
{
    count_problem(ctx, e->text);
}

static void ignore_delete(void *ctx, enum kind kind, const char *ns, const char *name)
{
    (void)ctx, (void)kind, (void)ns, (void)name;
}

static void ignore_synced(void *ctx)
{
    (void)ctx;
}

static int tally_folder(const char *path, struct tally *t, struct err *e)
{
    struct sink sink = { .ctx = t,
                         .put = count_object,
                         .del = ignore_delete,
                         .synced = ignore_synced,
                         .problem = count_problem };
    struct dir_source *source = NULL;
    int ret = dir_source_open(NULL, &path, 1, &sink, &source, e);
    if (ret == 0)
        dir_source_close(source);
    return ret;
}

static int tally_file(const char *path, struct tally *t, struct err *e)
{
    cleanup_free char *text = NULL;
    size_t len = 0;
    struct arena arena;
    struct tree_doc doc;
    arena_init(&arena, 65536);
    int ret = file_load(path, (size_t)DIR_FILE_BYTES_MAX, &text, &len, e);
    if (ret == 0)
        ret = tree_parse(text, len, path, &arena, &doc, e);
    for (size_t i = 0; ret == 0 && i < doc.n; i++)
        (void)object_decode_each(doc.documents[i], path, 0, count_object, count_bad_object, t);
    arena_done(&arena);
    return ret;
}

static int check_manifests(const char *path, struct err *e)
{
    struct tally t = { 0 };
    struct stat st;
    bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    int ret = folder ? tally_folder(path, &t, e) : tally_file(path, &t, e);
    if (ret == 0 && t.problems)
        ret = err_set(e, ERR_INVALID, "%s: %zu problem%s", path, t.problems,
                      t.problems > 1 ? "s" : "");
    if (ret == 0)
        (void)printf("%s: %zu objects\n", path, t.objects);
    return ret;
}

static int run(int argc, char **argv)
{
    struct err e = { 0 };
    int left = 0, failed = 0;
    int ret = flags_parse(&cmd_check, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (ret > 0)
        return 0;
    if (ret == 0 && left == 0)
        ret = err_set(&e, ERR_INVALID, "no file given; name Corefiles, manifests or folders");
    if (ret < 0) {
        (void)fprintf(stderr, "signpost check: %s\n", e.text);
        return 2;
    }
    for (int i = 0; i < left; i++) {
        bool manifest = is_manifest(argv[i]);
        ret = manifest ? check_manifests(argv[i], &e) : check_corefile(argv[i], &e);
        if (ret < 0)
            (void)fprintf(stderr, "%s\n", e.text);
        else if (!manifest)
            (void)printf("%s: good\n", argv[i]);
        failed += ret < 0;
    }
    return failed ? 1 : 0;
}

const struct command cmd_check = {
    .name = "check",
    .args = "FILE...",
    .summary = "Validates Corefiles and manifests; --explain prints the compiled chains.",
    .details = "Files ending in .yaml, .yml or .json and folders are read as manifests, all others "
               "as Corefiles.",
    .run = run,
};
