/* Any text as a hosts file: the server's table and the client's look-up agree about it. */
#include "dns/plugins/hosts.h"
#include "client/way.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check_table(const struct hosts_table *t)
{
    size_t entries = 0;
    ht_each (e, &t->names) {
        const struct hosts_name *n = e->value;
        require(name_wire_len((const uint8_t *)e->key) == e->key_len && n->n4 + n->n6 > 0);
        require(n->n4 <= HOSTS_PER_NAME && n->n6 <= HOSTS_PER_NAME);
        entries += n->n4 + n->n6;
    }
    ht_each (e, &t->addrs) {
        const struct hosts_addr *n = e->value;
        const uint8_t *p = n->names;
        require(n->n > 0 && n->n <= HOSTS_PER_NAME);
        for (unsigned i = 0; i < n->n; i++) {
            size_t len = get_u16(p);
            require(name_wire_len(p + 2) == len && ht_get(&t->names, p + 2, len));
            p += 2 + len;
        }
        entries += n->n;
    }
    require(entries == t->entries);
}

/* What a resolver would make of the same file. */
static void look_up(const struct way *way, const char *text)
{
    static const char *const names[] = { "localhost", "a", "web.example.org" };
    struct arena a;
    struct hosts_match m;
    arena_init(&a, 4096);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (uint8_t family = 0; family <= 6; family = (uint8_t)(family ? family + 2 : 4))
            if (hostsfile_find(way->hosts, text, names[i], family, &a, &m) == 0)
                require(m.n > 0 && m.n <= HOSTS_IPS_MAX && m.canonical);
    arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    const char *root = ".";
    struct zone_list zones = { .items = &root, .n = 1 };
    arena_init(&a, 1024);
    struct hosts_rules rules = { .zones = zone_set_new(&a, &zones), .reverse = true };
    const struct hosts_source sources[] = { { "Corefile:1", "127.0.0.1 localhost\n", 20 },
                                            { "hosts", (const char *)data, size } };
    log_set_level(LOG_FATAL);
    struct hosts_table *t = hosts_table_new(sources, 2, &rules);
    check_table(t);
    hosts_table_free(t);
    char *text = arena_strndup(&a, (const char *)data, strnlen((const char *)data, size));
    for (size_t i = 0; ways[i]; i++)
        look_up(ways[i], text);
    arena_done(&a);
    return 0;
}
