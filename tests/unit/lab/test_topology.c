/* Who lives where: nodes, addresses, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lab/topology.h"

static struct topology t;
static struct err e;

static int reset(void **state)
{
    (void)state;
    topology_done(&t);
    t = (struct topology){ 0 };
    e = (struct err){ 0 };
    return 0;
}

static int add_node(const char *text)
{
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    int code = topology_add_node(&t, json, &e);
    json_decref(json);
    return code;
}

static const struct topology_pod *add_pod(const char *name, const char *more)
{
    char text[512];
    const struct topology_pod *p = NULL;
    (void)snprintf(text, sizeof text, "{\"metadata\":{\"namespace\":\"n\",\"name\":\"%s\"}%s}",
                   name, more);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    int code = topology_add_pod(&t, json, &p, &e);
    json_decref(json);
    return code < 0 ? NULL : p;
}

static void check_ip(const struct ip *ip, const char *want)
{
    char text[IP_TEXT_MAX];
    assert_string_equal(ip_text(ip, text), want);
}

static void node_without_a_word(void **state)
{
    (void)state;
    assert_int_equal(add_node(NULL), 0);
    assert_string_equal(t.nodes.items[0].name, "node-1");
    check_ip(&t.nodes.items[0].address[0], "172.18.0.11");
    check_ip(&t.nodes.items[0].gateway[0], "10.244.1.1");
    assert_int_equal(t.nodes.items[0].n_families, 1);
}

static void node_with_two_families(void **state)
{
    (void)state;
    assert_int_equal(add_node("{\"metadata\":{\"name\":\"a\"},\"spec\":{\"podCIDRs\":[\"10.1.0.0/"
                              "16\",\"fd00:1::/64\"]},\"status\":{\"addresses\":[{\"type\":"
                              "\"InternalIP\",\"address\":\"192.0.2.1\"},{\"type\":\"Hostname\","
                              "\"address\":\"a\"},{\"type\":\"InternalIP\",\"address\":\"fd00::1\"}"
                              "]}}"),
                     0);
    const struct topology_pod *p = add_pod("p", "");
    assert_non_null(p);
    assert_int_equal(p->n_ips, 2);
    check_ip(&p->ips[0], "10.1.0.2");
    check_ip(&p->ips[1], "fd00:1::2");
}

static void family_without_an_address_of_the_node(void **state)
{
    (void)state;
    assert_int_equal(
        add_node("{\"metadata\":{\"name\":\"a\"},\"spec\":{\"podCIDR\":\"fd00::/64\"}}"),
        ERR_INVALID);
    assert_non_null(strstr(e.text, "IPv6 podCIDR but no InternalIP"));
    assert_int_equal(t.nodes.n, 0);
}

static void networks_that_are_none(void **state)
{
    (void)state;
    assert_int_equal(add_node("{\"metadata\":{\"name\":\"a\"},\"spec\":{\"podCIDR\":\"x\"}}"),
                     ERR_INVALID);
    assert_int_equal(
        add_node("{\"metadata\":{\"name\":\"a\"},\"spec\":{\"podCIDR\":\"10.0.0.0/31\"}}"),
        ERR_INVALID);
}

static void pods_are_spread_and_stay_where_they_must(void **state)
{
    (void)state;
    add_node("{\"metadata\":{\"name\":\"a\"}}");
    add_node("{\"metadata\":{\"name\":\"b\"}}");
    assert_int_equal(add_pod("1", "")->node, 0);
    assert_int_equal(add_pod("2", "")->node, 1);
    assert_int_equal(add_pod("3", ",\"spec\":{\"nodeName\":\"b\"}")->node, 1);
    assert_int_equal(add_pod("4", "")->node, 0);
    assert_null(add_pod("5", ",\"spec\":{\"nodeName\":\"c\"}"));
    assert_non_null(strstr(e.text, "nodeName c"));
}

static void addresses_go_round(void **state)
{
    (void)state;
    add_node("{\"metadata\":{\"name\":\"a\"},\"spec\":{\"podCIDR\":\"10.0.0.0/29\"}}");
    check_ip(&add_pod("1", "")->ips[0], "10.0.0.2");
    topology_remove_pod(&t, "n/1");
    check_ip(&add_pod("2", "")->ips[0], "10.0.0.3");
    check_ip(&add_pod("3", "")->ips[0], "10.0.0.4");
    check_ip(&add_pod("4", "")->ips[0], "10.0.0.5");
    check_ip(&add_pod("5", "")->ips[0], "10.0.0.6");
    check_ip(&add_pod("6", "")->ips[0], "10.0.0.2");
    assert_null(add_pod("7", "")); /* .0 network, .1 gateway, .7 broadcast */
    assert_non_null(strstr(e.text, "no free Pod address"));
}

static void wanted_addresses(void **state)
{
    (void)state;
    add_node("{\"metadata\":{\"name\":\"a\"}}");
    check_ip(&add_pod("1", ",\"status\":{\"podIP\":\"10.244.1.77\"}")->ips[0], "10.244.1.77");
    assert_null(add_pod("2", ",\"status\":{\"podIP\":\"10.244.1.77\"}"));
    assert_null(add_pod("3", ",\"status\":{\"podIP\":\"10.244.1.1\"}"));
    assert_null(add_pod("4", ",\"status\":{\"podIP\":\"10.9.0.1\"}"));
    assert_null(add_pod("5", ",\"status\":{\"podIP\":\"x\"}"));
    assert_int_equal(t.pods.n, 1);
    assert_int_equal(t.nodes.items[0].n_pods, 1);
}

static void host_network(void **state)
{
    (void)state;
    add_node("{\"metadata\":{\"name\":\"a\"}}");
    const struct topology_pod *p = add_pod("1", ",\"spec\":{\"hostNetwork\":true}");
    assert_true(p->host_network);
    assert_int_equal(p->n_ips, 1);
    check_ip(&p->ips[0], "172.18.0.11");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(node_without_a_word, reset, reset),
        cmocka_unit_test_setup_teardown(node_with_two_families, reset, reset),
        cmocka_unit_test_setup_teardown(family_without_an_address_of_the_node, reset, reset),
        cmocka_unit_test_setup_teardown(networks_that_are_none, reset, reset),
        cmocka_unit_test_setup_teardown(pods_are_spread_and_stay_where_they_must, reset, reset),
        cmocka_unit_test_setup_teardown(addresses_go_round, reset, reset),
        cmocka_unit_test_setup_teardown(wanted_addresses, reset, reset),
        cmocka_unit_test_setup_teardown(host_network, reset, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
