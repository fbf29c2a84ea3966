/* `geoip DBFILE { edns-subnet }`: labels "geoip/..." for `metadata`: where a MaxMind database says
 * that the client is. A label is looked up when somebody reads it. */
#include "dns/plugins/geoip.h"

#include "dns/plugins/metadata.h"

#include <errno.h>
#include <maxminddb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum schema { SCHEMA_NONE, SCHEMA_CITY, SCHEMA_ASN };

struct geoip {
    MMDB_s db;
    bool open;
    enum schema schema;
    bool by_subnet;
};

/* ---- kinds of databases ---- */

static const struct {
    const char *type;
    enum schema schema;
} types[] = {
    { "GeoLite2-City", SCHEMA_CITY },
    { "GeoLite2-Country", SCHEMA_CITY },
    { "GeoIP2-City", SCHEMA_CITY },
    { "GeoIP2-City-Africa", SCHEMA_CITY },
    { "GeoIP2-City-Asia-Pacific", SCHEMA_CITY },
    { "GeoIP2-City-Europe", SCHEMA_CITY },
    { "GeoIP2-City-North-America", SCHEMA_CITY },
    { "GeoIP2-City-South-America", SCHEMA_CITY },
    { "GeoIP2-Precision-City", SCHEMA_CITY },
    { "GeoIP-City-Redacted-US", SCHEMA_CITY },
    { "GeoIP2-Country", SCHEMA_CITY },
    { "GeoIP2-Enterprise", SCHEMA_CITY },
    { "GeoIP-Enterprise-Redacted-US", SCHEMA_CITY },
    { "DBIP-City-Lite", SCHEMA_CITY },
    { "DBIP-Country-Lite", SCHEMA_CITY },
    { "DBIP-Country", SCHEMA_CITY },
    { "DBIP-Location (compat=City)", SCHEMA_CITY },
    { "DBIP-Location-ISP (compat=Enterprise)", SCHEMA_CITY },
    { "DBIP-ISP (compat=Enterprise)", SCHEMA_CITY },
    { "GeoLite2-ASN", SCHEMA_ASN },
    { "DBIP-ASN-Lite (compat=GeoLite2-ASN)", SCHEMA_ASN },
    { "GeoIP2-ISP", SCHEMA_ASN },
    { "GeoIP2-Precision-ISP", SCHEMA_ASN },
};

static enum schema schema_of(const char *type)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(types[i].type, type) == 0)
            return types[i].schema;
    return SCHEMA_NONE;
}

/* ---- values ---- */

/* A path into a record; entry has no data when there is nothing. */
static MMDB_entry_data_s value_at(MMDB_entry_s *entry, const char *const *path)
{
    MMDB_entry_data_s data = { 0 };
    if (!entry || MMDB_aget_value(entry, &data, path) != MMDB_SUCCESS)
        data.has_data = false;
    return data;
}

typedef const char *value_fn(struct query *q, MMDB_entry_s *entry, const char *const *path);

static const char *text_value(struct query *q, MMDB_entry_s *entry, const char *const *path)
{
    MMDB_entry_data_s data = value_at(entry, path);
    if (!data.has_data || data.type != MMDB_DATA_TYPE_UTF8_STRING)
        return "";
    return arena_strndup(&q->arena, data.utf8_string, data.data_size);
}

static const char *bool_value(struct query *q, MMDB_entry_s *entry, const char *const *path)
{
    MMDB_entry_data_s data = value_at(entry, path);
    (void)q;
    return data.has_data && data.type == MMDB_DATA_TYPE_BOOLEAN && data.boolean ? "true" : "false";
}

static const char *unsigned_value(struct query *q, MMDB_entry_s *entry, const char *const *path)
{
    MMDB_entry_data_s data = value_at(entry, path);
    if (data.has_data && data.type == MMDB_DATA_TYPE_UINT16)
        return arena_printf(&q->arena, "%u", data.uint16);
    if (data.has_data && data.type == MMDB_DATA_TYPE_UINT32)
        return arena_printf(&q->arena, "%u", data.uint32);
    return "0";
}

char *geoip_number_text(double v, char out[GEOIP_NUMBER_MAX])
{
    for (int digits = 0; digits <= 340; digits++) {
        (void)snprintf(out, GEOIP_NUMBER_MAX, "%.*f", digits, v);
        if (strtod(out, NULL) == v) /* NaN is never equal, and comes out as such */
            break;
    }
    return out;
}

static const char *number_value(struct query *q, MMDB_entry_s *entry, const char *const *path)
{
    MMDB_entry_data_s data = value_at(entry, path);
    char text[GEOIP_NUMBER_MAX];
    if (data.has_data && data.type == MMDB_DATA_TYPE_DOUBLE)
        return arena_strdup(&q->arena, geoip_number_text(data.double_value, text));
    if (data.has_data && data.type == MMDB_DATA_TYPE_FLOAT)
        return arena_strdup(&q->arena, geoip_number_text((double)data.float_value, text));
    return "";
}

#define SUBDIVISIONS_MAX 16 /* more are left out */

/* The codes of all of them, widest first, joined by commas. */
static const char *codes_value(struct query *q, MMDB_entry_s *entry, const char *const *path)
{
    static const char *const indexes[SUBDIVISIONS_MAX] = {
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15",
    };
    MMDB_entry_data_s list = value_at(entry, path);
    const char *text = "";
    if (!list.has_data || list.type != MMDB_DATA_TYPE_ARRAY)
        return text;
    for (uint32_t i = 0; i < MIN(list.data_size, (uint32_t)SUBDIVISIONS_MAX); i++) {
        const char *code[] = { path[0], indexes[i], "iso_code", NULL };
        text = arena_printf(&q->arena, "%s%s%s", text, i ? "," : "", text_value(q, entry, code));
    }
    return text;
}

/* ---- labels ---- */

static const struct {
    const char *name;
    enum schema schema;
    value_fn *value;
    const char *path[4];
} labels[] = {
    { "city/name", SCHEMA_CITY, text_value, { "city", "names", "en" } },
    { "country/code", SCHEMA_CITY, text_value, { "country", "iso_code" } },
    { "country/name", SCHEMA_CITY, text_value, { "country", "names", "en" } },
    { "country/is_in_european_union",
      SCHEMA_CITY,
      bool_value,
      { "country", "is_in_european_union" } },
    { "continent/code", SCHEMA_CITY, text_value, { "continent", "code" } },
    { "continent/name", SCHEMA_CITY, text_value, { "continent", "names", "en" } },
    { "latitude", SCHEMA_CITY, number_value, { "location", "latitude" } },
    { "longitude", SCHEMA_CITY, number_value, { "location", "longitude" } },
    { "timezone", SCHEMA_CITY, text_value, { "location", "time_zone" } },
    { "postalcode", SCHEMA_CITY, text_value, { "postal", "code" } },
    { "subdivisions/code", SCHEMA_CITY, codes_value, { "subdivisions" } },
    { "asn/number", SCHEMA_ASN, unsigned_value, { "autonomous_system_number" } },
    { "asn/org", SCHEMA_ASN, text_value, { "autonomous_system_organization" } },
};

struct ip geoip_subnet(const struct edns *edns)
{
    struct cursor c = cursor_of(edns->options, edns->options_len);
    struct ip none = { 0 }, ip = { .family = 4 };
    while (cursor_left(&c) && !c.bad) {
        uint16_t code = cursor_u16(&c), len = cursor_u16(&c);
        struct cursor option = cursor_sub(&c, len);
        if (code != EDNS_SUBNET)
            continue;
        uint16_t family = cursor_u16(&option), prefixes = cursor_u16(&option);
        unsigned bits = prefixes >> 8;
        ip.family = family == 2 ? 6 : 4;
        size_t bytes = (bits + 7) / 8;
        const uint8_t *p = cursor_take(&option, bytes);
        if (!p || family > 2 || bytes > (family ? ip_len(&ip) : 0))
            return none;
        memcpy(ip.bytes, p, bytes);
        return ip;
    }
    return none;
}

static struct ip asker(const struct query *q, const struct geoip *g)
{
    const struct edns *edns = q->asked ? &q->asked->edns : &q->msg.edns;
    struct ip ip = { 0 };
    if (g->by_subnet && edns->present)
        ip = geoip_subnet(edns);
    return ip.family ? ip : query_client(q);
}

static const char *geoip_label(struct query *q, const void *conf, const char *name)
{
    const struct geoip *g = conf;
    struct sockaddr_storage sa;
    size_t i = 0;
    int error = MMDB_SUCCESS;
    while (i < ARRAY_SIZE(labels) && strcmp(labels[i].name, name) != 0)
        i++;
    if (i == ARRAY_SIZE(labels) || labels[i].schema != g->schema)
        return NULL;
    struct ip ip = asker(q, g);
    (void)ip_to_sockaddr(&ip, 0, &sa);
    MMDB_lookup_result_s found = MMDB_lookup_sockaddr(&g->db, (struct sockaddr *)&sa, &error);
    if (error != MMDB_SUCCESS)
        return NULL;
    return labels[i].value(q, found.found_entry ? &found.entry : NULL, labels[i].path);
}

/* ---- set-up ---- */

static void geoip_stop(void *conf)
{
    struct geoip *g = conf;
    if (g->open)
        MMDB_close(&g->db);
}

static int open_database(struct geoip *g, const char *path, const struct dispenser *d,
                         struct err *e)
{
    int code = MMDB_open(path, MMDB_MODE_MMAP, &g->db);
    if (code != MMDB_SUCCESS)
        return dispenser_err(d, e, "failed to open database file: open %s: %s", path,
                             code == MMDB_FILE_OPEN_ERROR || code == MMDB_IO_ERROR
                                 ? err_str(-errno)
                                 : MMDB_strerror(code));
    g->open = true;
    g->schema = schema_of(g->db.metadata.database_type);
    if (!g->schema)
        return dispenser_err(d, e,
                             "database %s is of the type \"%.80s\", which is not supported: it has "
                             "to be one for cities, countries or autonomous systems",
                             path, g->db.metadata.database_type);
    return 0;
}

static int read_directive(struct geoip *g, struct dispenser *d, struct err *e)
{
    int code;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (g->open)
        return dispenser_err(d, e, "configuring multiple databases is not supported");
    const char *path = dispenser_val(d);
    if (dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    code = open_database(g, path, d, e);
    while (code == 0 && dispenser_next_block(d)) {
        if (strcmp(dispenser_val(d), "edns-subnet") != 0)
            return dispenser_unknown(d, e);
        g->by_subnet = true;
        code = dispenser_end(d, e);
    }
    return code;
}

static int geoip_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct geoip *g = arena_zalloc(setup_arena(s), sizeof *g);
    int code = 0;
    setup_stop(s, geoip_stop, g);
    while (code == 0 && dispenser_next_directive(d))
        code = read_directive(g, d, e);
    if (code == 0)
        metadata_provide(metadata_of(s), "geoip/", geoip_label, g);
    return code;
}

const struct plugin plugin_geoip = { .name = "geoip", .setup = geoip_setup, .repeatable = true };
