#include "lab/podspec.h"

#include "base/str.h"
#include "lab/manifest.h"

#include <string.h>

#define PATH_IN_PODS "PATH=/.lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void podspec_done(struct podspec *s)
{
    arena_done(&s->arena);
}

static const char *find_env(const char *const *env, const char *name, size_t len)
{
    const char *found = NULL; /* the last one counts */
    for (; env && *env; env++) {
        if (!strncmp(*env, name, len) && (*env)[len] == '=')
            found = *env + len + 1;
    }
    return found;
}

const char *podspec_expand(const char *text, const char *const *env, struct arena *a)
{
    struct strbuf b = { 0 };
    for (const char *p = text; *p; p++) {
        const char *end = p[0] == '$' && p[1] == '(' ? strchr(p, ')') : NULL;
        const char *value = end ? find_env(env, p + 2, (size_t)(end - p - 2)) : NULL;
        if (p[0] == '$' && p[1] == '$') {
            strbuf_putc(&b, *p++);
        } else if (value) {
            strbuf_puts(&b, value);
            p = end;
        } else {
            strbuf_putc(&b, *p);
        }
    }
    const char *out = arena_strdup(a, b.p ? b.p : "");
    strbuf_done(&b);
    return out;
}

static const char *field_value(json_t *pod, const struct pod_facts *f, const char *path)
{
    if (str_eq(path, "metadata.name") || str_eq(path, "metadata.namespace") ||
        str_eq(path, "metadata.uid"))
        return json_text(pod, path);
    if (str_eq(path, "status.podIP"))
        return f->pod_ip;
    if (str_eq(path, "status.podIPs"))
        return f->pod_ips;
    if (str_eq(path, "status.hostIP"))
        return f->host_ip;
    if (str_eq(path, "spec.nodeName"))
        return f->node;
    return NULL;
}

static int read_env(struct podspec *s, json_t *pod, json_t *c, const struct pod_facts *f,
                    struct container *ret, struct err *e)
{
    json_t *list = json_object_get(c, "env"), *item;
    size_t i, n = 0;
    const char **env = arena_zalloc(&s->arena, (json_array_size(list) + 4) * sizeof *env);
    ret->env = env;
    env[n++] = PATH_IN_PODS;
    env[n++] = "HOME=/root";
    env[n++] = arena_printf(&s->arena, "HOSTNAME=%s", f->hostname);
    if (json_array_size(json_object_get(c, "envFrom")))
        return err_set(e, ERR_UNSUPPORTED, "envFrom is not offered by the lab");
    json_array_foreach(list, i, item)
    {
        const char *name = json_text(item, "name"), *value = json_text(item, "value");
        const char *field = json_text(item, "valueFrom.fieldRef.fieldPath");
        if (json_object_get(item, "valueFrom"))
            value = field ? field_value(pod, f, field) : NULL;
        else if (!value)
            value = "";
        if (!name || !value)
            return err_set(e, ERR_UNSUPPORTED,
                           "env %s: valueFrom is offered for fieldRef only (%s)", name ? name : "?",
                           field ? field : "another source");
        env[n++] = arena_printf(&s->arena, "%s=%s", name, podspec_expand(value, env, &s->arena));
    }
    return 0;
}

/* The last part of an image's name, without registry, tag and digest. */
static const char *program_of_image(struct podspec *s, const char *image)
{
    const char *slash = image ? strrchr(image, '/') : NULL;
    const char *base = slash ? slash + 1 : image ? image : "";
    return arena_strndup(&s->arena, base, strcspn(base, ":@"));
}

static int add_args(struct podspec *s, json_t *list, const char **argv, size_t *n,
                    const char *const *env, struct err *e)
{
    json_t *item;
    size_t i;
    json_array_foreach(list, i, item)
    {
        if (!json_is_string(item))
            return err_set(e, ERR_INVALID, "command and args are lists of strings (write \"80\")");
        if (*n + 1 >= PODSPEC_ARGS_MAX)
            return err_set(e, ERR_LIMIT, "more than %d arguments", PODSPEC_ARGS_MAX);
        argv[(*n)++] = podspec_expand(json_string_value(item), env, &s->arena);
    }
    return 0;
}

static int read_argv(struct podspec *s, json_t *c, struct container *ret, struct err *e)
{
    const char *argv[PODSPEC_ARGS_MAX + 1] = { NULL };
    size_t n = 0;
    int code = add_args(s, json_object_get(c, "command"), argv, &n, ret->env, e);
    if (code == 0 && n == 0)
        argv[n++] = program_of_image(s, json_text(c, "image"));
    if (code == 0)
        code = add_args(s, json_object_get(c, "args"), argv, &n, ret->env, e);
    if (code == 0 && !*argv[0])
        code = err_set(e, ERR_INVALID, "neither command nor image");
    if (code == 0)
        ret->argv = arena_memdup(&s->arena, argv, (n + 1) * sizeof *argv);
    return code;
}

static const struct volume *find_volume(const struct podspec *s, const char *name)
{
    for (unsigned i = 0; i < s->n_volumes; i++) {
        if (str_eq(s->volumes[i].name, name))
            return &s->volumes[i];
    }
    return NULL;
}

static int read_mounts(struct podspec *s, json_t *c, struct container *ret, struct err *e)
{
    json_t *list = json_object_get(c, "volumeMounts"), *item;
    size_t i;
    ret->mounts = arena_zalloc(&s->arena, (json_array_size(list) + 1) * sizeof *ret->mounts);
    json_array_foreach(list, i, item)
    {
        struct mount m = { .path = json_text(item, "mountPath") };
        const char *name = json_text(item, "name");
        m.volume = find_volume(s, name);
        m.read_only = json_is_true(json_object_get(item, "readOnly"));
        if (!m.volume)
            return err_set(e, ERR_INVALID, "volumeMounts: there is no volume \"%s\"",
                           name ? name : "");
        if (!m.path || m.path[0] != '/' || strstr(m.path, ".."))
            return err_set(e, ERR_INVALID, "volumeMounts %s: mountPath must be absolute", name);
        if (json_object_get(item, "subPath"))
            return err_set(e, ERR_UNSUPPORTED, "volumeMounts %s: subPath is not offered by the lab",
                           name);
        ret->mounts[ret->n_mounts++] = m;
    }
    return 0;
}

static int read_volume(struct podspec *s, json_t *item, struct err *e)
{
    struct volume v = { .name = json_text(item, "name") };
    json_t *map = json_object_get(item, "configMap");
    if (map) {
        v.kind = VOLUME_CONFIG_MAP;
        v.source = json_text(map, "name");
        v.items = json_object_get(map, "items");
        v.optional = json_is_true(json_object_get(map, "optional"));
    } else if (json_object_get(item, "hostPath")) {
        v.kind = VOLUME_HOST_PATH;
        v.source = json_text(item, "hostPath.path");
    } else if (json_object_get(item, "emptyDir")) {
        v.kind = VOLUME_EMPTY;
        v.source = "";
    }
    if (!v.name || !v.source)
        return err_set(e, ERR_UNSUPPORTED,
                       "volume %s: the lab offers configMap, hostPath and emptyDir",
                       v.name ? v.name : "?");
    if (s->n_volumes == PODSPEC_VOLUMES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d volumes", PODSPEC_VOLUMES_MAX);
    s->volumes[s->n_volumes++] = v;
    return 0;
}

static int read_port(json_t *c, json_t *port, uint16_t *ret, struct err *e)
{
    json_t *item;
    size_t i;
    json_int_t n = json_integer_value(port);
    json_array_foreach(json_object_get(c, "ports"), i, item)
    {
        if (json_is_string(port) && str_eq(json_text(item, "name"), json_string_value(port)))
            n = json_integer_value(json_object_get(item, "containerPort"));
    }
    if (n < 1 || n > 65535)
        return err_set(e, ERR_INVALID,
                       "readinessProbe: its port is neither 1 to 65535 nor the name "
                       "of a port of the container");
    *ret = (uint16_t)n;
    return 0;
}

static long number(json_t *json, const char *key, long otherwise)
{
    json_t *n = json_object_get(json, key);
    return json_is_integer(n) && json_integer_value(n) >= 0 && json_integer_value(n) < 100000
               ? (long)json_integer_value(n)
               : otherwise;
}

static int read_probe_target(struct podspec *s, json_t *c, json_t *p, struct container *ret,
                             struct err *e)
{
    json_t *http = json_object_get(p, "httpGet"), *tcp = json_object_get(p, "tcpSocket");
    json_t *command = json_at(p, "exec.command");
    const char *argv[PODSPEC_ARGS_MAX + 1] = { NULL };
    const char *scheme = json_text(http, "scheme"), *path = json_text(http, "path");
    size_t n = 0;
    if (command) {
        ret->ready.kind = PROBE_EXEC;
        int code = add_args(s, command, argv, &n, NULL, e);
        ret->ready.argv = arena_memdup(&s->arena, argv, (n + 1) * sizeof *argv);
        return code < 0 || n ? code : err_set(e, ERR_INVALID, "readinessProbe: empty exec.command");
    }
    if ((!http && !tcp) || (scheme && strcmp(scheme, "HTTP") != 0))
        return err_set(e, ERR_UNSUPPORTED,
                       "readinessProbe: the lab offers httpGet (scheme HTTP), tcpSocket and exec");
    const char *host = json_text(http ? http : tcp, "host");
    if (host && ip_parse(host, &ret->ready.ip) < 0)
        return err_set(e, ERR_UNSUPPORTED, "readinessProbe: host %s: the lab takes an IP address",
                       host);
    ret->ready.kind = http ? PROBE_HTTP : PROBE_TCP;
    ret->ready.path = path ? path : "/";
    return read_port(c, json_object_get(http ? http : tcp, "port"), &ret->ready.port, e);
}

static int read_probe(struct podspec *s, json_t *c, struct container *ret, struct err *e)
{
    json_t *p = json_object_get(c, "readinessProbe");
    struct probe *r = &ret->ready;
    if (!p)
        return 0;
    r->initial_delay = number(p, "initialDelaySeconds", 0);
    r->period = number(p, "periodSeconds", 10);
    r->timeout = number(p, "timeoutSeconds", 1);
    r->successes = number(p, "successThreshold", 1);
    r->failures = number(p, "failureThreshold", 3);
    r->period = r->period ? r->period : 1;
    r->timeout = r->timeout ? r->timeout : 1;
    return read_probe_target(s, c, p, ret, e);
}

static int read_lifecycle(json_t *c, struct container *ret, struct err *e)
{
    json_t *life = json_object_get(c, "lifecycle"), *stop = json_object_get(life, "preStop");
    json_t *sleep = json_object_get(stop, "sleep");
    if (json_object_get(life, "postStart") || (stop && !sleep))
        return err_set(e, ERR_UNSUPPORTED, "lifecycle: the lab offers preStop.sleep only");
    ret->pre_stop_seconds = number(sleep, "seconds", 0);
    return 0;
}

static int read_container(struct podspec *s, json_t *pod, json_t *c, const struct pod_facts *f,
                          struct err *e)
{
    struct container *ret = &s->containers[s->n_containers];
    ret->name = json_text(c, "name");
    ret->workdir = json_text(c, "workingDir");
    if (!ret->name || strchr(ret->name, '/'))
        return err_set(e, ERR_INVALID, "a container without a name");
    int code = read_env(s, pod, c, f, ret, e);
    if (code == 0)
        code = read_argv(s, c, ret, e);
    if (code == 0)
        code = read_mounts(s, c, ret, e);
    if (code == 0)
        code = read_probe(s, c, ret, e);
    if (code == 0)
        code = read_lifecycle(c, ret, e);
    if (code < 0)
        return err_wrap(e, "container %s", ret->name);
    s->n_containers++;
    return 0;
}

static int read_policy(struct podspec *s, json_t *spec, struct err *e)
{
    const char *restart = json_text(spec, "restartPolicy");
    if (!restart || !strcmp(restart, "Always"))
        s->restart = RESTART_ALWAYS;
    else if (!strcmp(restart, "OnFailure"))
        s->restart = RESTART_ON_FAILURE;
    else if (!strcmp(restart, "Never"))
        s->restart = RESTART_NEVER;
    else
        return err_set(e, ERR_INVALID, "restartPolicy \"%s\": Always, OnFailure or Never", restart);
    s->grace_seconds = number(spec, "terminationGracePeriodSeconds", 30);
    if (json_array_size(json_object_get(spec, "initContainers")))
        return err_set(e, ERR_UNSUPPORTED, "initContainers are not offered by the lab");
    return 0;
}

static int read_all(struct podspec *s, json_t *pod, const struct pod_facts *f, struct err *e)
{
    json_t *spec = json_object_get(pod, "spec"), *item;
    size_t i;
    int code = read_policy(s, spec, e);
    json_array_foreach(json_object_get(spec, "volumes"), i, item)
    {
        if (code == 0)
            code = read_volume(s, item, e);
    }
    json_array_foreach(json_object_get(spec, "containers"), i, item)
    {
        if (code == 0 && s->n_containers == PODSPEC_CONTAINERS_MAX)
            code = err_set(e, ERR_LIMIT, "more than %d containers", PODSPEC_CONTAINERS_MAX);
        if (code == 0)
            code = read_container(s, pod, item, f, e);
    }
    if (code == 0 && !s->n_containers)
        code = err_set(e, ERR_INVALID, "no containers");
    return code;
}

int podspec_read(json_t *pod, const struct pod_facts *facts, struct podspec *ret, struct err *e)
{
    memset(ret, 0, sizeof *ret);
    arena_init(&ret->arena, 8192);
    ret->namespace = json_text(pod, "metadata.namespace");
    ret->name = json_text(pod, "metadata.name");
    int code = read_all(ret, pod, facts, e);
    if (code < 0)
        podspec_done(ret);
    return code;
}
