#include "lab/status.h"

#include "base/hash.h"
#include "base/str.h"
#include "lab/manifest.h"

#include <stdio.h>
#include <time.h>

#define STAMP_MAX 32

static json_t *stamp(int64_t unix_seconds)
{
    char text[STAMP_MAX];
    time_t t = (time_t)unix_seconds;
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

static json_t *address(const struct ip *ip)
{
    char text[IP_TEXT_MAX];
    return json_string(ip_text(ip, text));
}

/* The same in every run, so that nothing that compares objects sees a change where there is none.
 */
static json_t *uid_of(const char *kind, const char *namespace, const char *name)
{
    char text[600], uid[40];
    int n = snprintf(text, sizeof text, "%s/%s/%s", kind, namespace, name);
    size_t len = MIN((size_t)n, sizeof text - 1);
    uint64_t a = hash_stable(text, len), b = hash_stable(text, len / 2) ^ ~a;
    snprintf(uid, sizeof uid, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(a >> 32),
             (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xfff), (unsigned)(b >> 52),
             (unsigned long long)(b & 0xffffffffffffULL));
    return json_string(uid);
}

/* The member as an object that may be changed, made when it is not there. */
static json_t *member(json_t *parent, const char *key)
{
    json_t *m = json_object_get(parent, key);
    if (!json_is_object(m)) {
        m = json_object();
        json_object_set_new(parent, key, m);
    }
    return m;
}

static json_t *addresses(const struct ip *ips, unsigned n)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < n && ips[i].family; i++)
        json_array_append_new(list, json_pack("{s:o}", "ip", address(&ips[i])));
    return list;
}

static void add_condition(json_t *list, const char *type, bool state, int64_t since)
{
    json_array_append_new(list,
                          json_pack("{s:s, s:s, s:o}", "type", type, "status",
                                    state ? "True" : "False", "lastTransitionTime", stamp(since)));
}

static json_t *pod_conditions(const struct pod_status *s)
{
    json_t *list = json_array();
    add_condition(list, "PodScheduled", true, s->started);
    add_condition(list, "Initialized", s->state != POD_STATE_PENDING, s->started);
    add_condition(list, "ContainersReady", s->ready, s->changed);
    add_condition(list, "Ready", s->ready, s->changed);
    return list;
}

/* One that does not begin to run has the Pod's message. */
static json_t *container_status(json_t *box, const struct pod_status *s)
{
    const char *image = json_text(box, "image"), *name = json_text(box, "name");
    bool runs = s->state != POD_STATE_PENDING;
    json_t *state = runs ? json_pack("{s:{s:o}}", "running", "startedAt", stamp(s->started))
                         : json_pack("{s:{s:s}}", "waiting", "reason", "ContainerCreating");
    return json_pack("{s:s, s:s, s:s, s:i, s:b, s:b, s:o}", "name", name ? name : "", "image",
                     image ? image : "", "imageID", "", "restartCount", 0, "ready", s->ready,
                     "started", runs, "state", state);
}

static json_t *container_statuses(json_t *pod, const struct pod_status *s)
{
    json_t *list = json_array(), *box;
    size_t i;
    json_array_foreach(json_at(pod, "spec.containers"), i, box)
        json_array_append_new(list, container_status(box, s));
    return list;
}

static void fill_addresses(json_t *status, const struct topology *t,
                           const struct topology_pod *place)
{
    const struct topology_node *node = &t->nodes.items[place->node];
    json_object_set_new(status, "podIP", address(&place->ips[0]));
    json_object_set_new(status, "podIPs", addresses(place->ips, place->n_ips));
    json_object_set_new(status, "hostIP", address(&node->address[0]));
    json_object_set_new(status, "hostIPs", addresses(node->address, TOPOLOGY_FAMILIES));
}

json_t *status_of_pod(json_t *pod, const struct topology *t, const struct topology_pod *place,
                      const struct pod_status *s)
{
    json_t *out = json_deep_copy(pod), *meta = member(out, "metadata"), *status = json_object();
    if (!json_text(meta, "uid"))
        json_object_set_new(meta, "uid",
                            uid_of("Pod", json_text(meta, "namespace"), json_text(meta, "name")));
    if (s->state == POD_STATE_ENDING)
        json_object_set_new(meta, "deletionTimestamp", stamp(s->deleted));
    json_object_set_new(out, "status", status);
    json_object_set_new(status, "phase",
                        json_string(s->state == POD_STATE_PENDING ? "Pending" : "Running"));
    json_object_set_new(status, "conditions", pod_conditions(s));
    json_object_set_new(status, "startTime", stamp(s->started));
    json_object_set_new(status, "containerStatuses", container_statuses(pod, s));
    if (s->message)
        json_object_set_new(status, "message", json_string(s->message));
    if (place) {
        json_object_set_new(member(out, "spec"), "nodeName",
                            json_string(t->nodes.items[place->node].name));
        fill_addresses(status, t, place);
    }
    return out;
}

json_t *status_of_node(json_t *node, const struct topology_node *place)
{
    json_t *out = node ? json_deep_copy(node)
                       : json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Node",
                                   "metadata", "name", place->name);
    json_t *spec = member(out, "spec"), *status = member(out, "status");
    json_t *list = json_array(), *nets = json_array();
    char text[IP_TEXT_MAX + 4], ip[IP_TEXT_MAX];
    for (unsigned i = 0; i < TOPOLOGY_FAMILIES && place->address[i].family; i++)
        json_array_append_new(list, json_pack("{s:s, s:o}", "type", "InternalIP", "address",
                                              address(&place->address[i])));
    json_array_append_new(list,
                          json_pack("{s:s, s:s}", "type", "Hostname", "address", place->name));
    for (unsigned f = 0; f < place->n_families; f++) {
        snprintf(text, sizeof text, "%s/%u", ip_text(&place->pod_net[f].ip, ip),
                 place->pod_net[f].bits);
        json_array_append_new(nets, json_string(text));
    }
    json_object_set(spec, "podCIDR", json_array_get(nets, 0));
    json_object_set_new(spec, "podCIDRs", nets);
    json_object_set_new(status, "addresses", list);
    list = json_array();
    add_condition(list, "Ready", true, 0);
    json_object_set_new(status, "conditions", list);
    return out;
}

/* Of the condition Ready; NULL when there is none. */
static const char *ready_status(json_t *object)
{
    json_t *item;
    size_t i;
    json_array_foreach(json_at(object, "status.conditions"), i, item)
    {
        if (str_eq(json_text(item, "type"), "Ready"))
            return json_text(item, "status");
    }
    return NULL;
}

bool status_is_ready(json_t *object)
{
    return str_eq(ready_status(object), "True");
}

bool status_allows_ready(json_t *pod)
{
    const char *said = ready_status(pod);
    return !said || str_eq(said, "True");
}

char *status_file_name(const char *kind, const char *namespace, const char *name, char *out,
                       size_t size)
{
    snprintf(out, size, "%s_%s_%s.json", kind, namespace, name);
    str_lower(out);
    for (char *p = out; *p; p++)
        *p = *p == '/' ? '-' : *p;
    return out;
}
