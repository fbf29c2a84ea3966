#include "registry/inside.h"

#include "base/str.h"
#include "registry/call.h"
#include "registry/path.h"

static bool is_ending(const struct fault *f)
{
    json_t *cause;
    size_t i;
    json_array_foreach(f->causes, i,
                       cause) if (str_eq(path_text(cause, "reason"), FAULT_ENDING)) return true;
    return false;
}

static void tell_fault(const struct call *c, struct inside_reply *ret)
{
    ret->status = c->fault.code;
    ret->ending = is_ending(&c->fault);
    (void)snprintf(ret->text, sizeof ret->text, "%s", c->fault.message ? c->fault.message : "");
}

static void tell_item(const struct item *i, struct inside_reply *ret)
{
    ret->status = 200;
    if (!i)
        return;
    (void)snprintf(ret->name, sizeof ret->name, "%s", i->name);
    (void)snprintf(ret->uid, sizeof ret->uid, "%s", i->uid);
    (void)snprintf(ret->version, sizeof ret->version, "%lld", (long long)i->revision);
}

void inside_send(struct registry *r, const struct inside_request *q, struct inside_reply *ret)
{
    struct item *made = NULL;
    struct call *c = call_inside(r);
    *ret = (struct inside_reply){ .status = 0 };
    c->given = q->body;
    c->given_len = q->body_len;
    c->given_type = q->type;
    c->made = &made;
    int code = request_read(q->method, q->target, &c->arena, &c->request, &c->fault);
    if (code == 0)
        code = call_route(c); /* 0: it is gone */
    if (code == 0) {
        tell_item(made, ret);
    } else {
        tell_fault(c, ret);
        call_free(c);
    }
    item_unref(made);
}
