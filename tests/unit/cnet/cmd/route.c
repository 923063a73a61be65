/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/route.c"

#include "tests/unit/cnet/cmd/fixture.h"

static struct nexthop nexthops[16];

static void put_nexthop(struct fixture *f, uint32_t id, const struct nexthop *nh)
{
	nexthops[id] = *nh;
	f->weir.fib->nh[id] = &nexthops[id];
}

static struct mirror_route *put_route(const char *dst, uint8_t len, uint32_t fib_nh)
{
	struct mirror_route *r = &fake.routes[fake.n_routes++];

	*r = (struct mirror_route){.dst = {addr(dst), len},
				   .table = RT_TABLE_MAIN,
				   .type = RTN_UNICAST,
				   .protocol = RTPROT_BOOT,
				   .in_use = true,
				   .fib_nh = fib_nh,
				   .why_kernel = ""};
	return r;
}

/* As `ip -j route show table main` printed the same routes, with Weir's two keys more. */
static void like_ip_route_show(void **state)
{
	struct fixture *f = *state;
	struct mirror_path one = {.gateway = addr("10.0.0.2"), .oif = 3, .weight = 1};
	struct mirror_path attached = {.oif = 3, .weight = 1};
	struct mirror_path two[] = {
		{.gateway = addr("10.0.0.2"), .oif = 3, .weight = 2},
		{.gateway = addr("10.0.0.3"), .oif = 3, .weight = 1, .flags = RTNH_F_ONLINK},
	};
	struct mirror_route *r;
	uint16_t members[] = {8, 10};

	put_nexthop(f, 8, &(struct nexthop){.type = NH_NEIGH, .is_resolved = true});
	put_nexthop(f, 9, &(struct nexthop){.type = NH_ATTACHED, .oif = 3});
	put_nexthop(f, 10, &(struct nexthop){.type = NH_NEIGH, .is_resolved = true});
	put_nexthop(f, 11, &(struct nexthop){.type = NH_GROUP, .n_members = 2, .members = members});
	put_nexthop(f, FIB_NH_BLACKHOLE, &(struct nexthop){.type = NH_BLACKHOLE});
	r = put_route("0.0.0.0", 0, 8);
	r->nh_id = 7;
	r->n_paths = 1;
	r->paths = &one;
	r = put_route("10.0.0.0", 24, 9);
	r->n_paths = 1;
	r->paths = &attached;
	r->protocol = RTPROT_KERNEL;
	r->scope = RT_SCOPE_LINK;
	r->prefsrc = addr("10.0.0.1");
	r = put_route("10.2.3.4", 32, 8);
	r->n_paths = 1;
	r->paths = &one;
	r->protocol = RTPROT_OSPF;
	r->metric = 20;
	r->mtu = 1400;
	r = put_route("10.3.0.0", 16, FIB_NH_BLACKHOLE);
	r->type = RTN_BLACKHOLE;
	r = put_route("10.4.0.0", 16, 11);
	r->n_paths = 2;
	r->paths = two;
	r = put_route("10.0.0.1", 32, FIB_NH_LOCAL); /* not in main */
	r->table = RT_TABLE_LOCAL;
	assert_string_equal(
		run(f, wr_cmd_route_show, NULL, NULL, NULL),
		"0\n["
		"{\"dst\":\"default\",\"nhid\":7,\"gateway\":\"10.0.0.2\",\"dev\":\"eth0\",\"flags\":[],"
		"\"via_weir\":true,\"why\":\"\"},"
		"{\"dst\":\"10.0.0.0/24\",\"dev\":\"eth0\",\"protocol\":\"kernel\",\"scope\":\"link\","
		"\"prefsrc\":\"10.0.0.1\",\"flags\":[],\"via_weir\":true,\"why\":\"\"},"
		"{\"dst\":\"10.2.3.4\",\"gateway\":\"10.0.0.2\",\"dev\":\"eth0\",\"protocol\":\"ospf\","
		"\"metric\":20,\"flags\":[],\"metrics\":[{\"mtu\":1400}],\"via_weir\":true,\"why\":\"\"},"
		"{\"type\":\"blackhole\",\"dst\":\"10.3.0.0/16\",\"flags\":[],\"via_weir\":true,"
		"\"why\":\"dropped, as the route says\"},"
		"{\"dst\":\"10.4.0.0/16\",\"flags\":[],\"nexthops\":["
		"{\"gateway\":\"10.0.0.2\",\"dev\":\"eth0\",\"weight\":2,\"flags\":[]},"
		"{\"gateway\":\"10.0.0.3\",\"dev\":\"eth0\",\"weight\":1,\"flags\":[\"onlink\"]}],"
		"\"via_weir\":true,\"why\":\"\"}]\n");
}

static void expect_rows(struct fixture *f, const char *w0, const char *w1, const char *w2, size_t n)
{
	json_t *json = run_json(f, wr_cmd_route_show, w0, w1, w2);

	assert_int_equal(json_array_size(json), n);
	json_decref(json);
}

static void selection(void **state)
{
	struct fixture *f = *state;

	put_route("10.0.0.0", 8, 8);
	put_route("10.0.0.0", 24, 8);
	put_route("0.0.0.0", 0, 8);
	put_route("10.0.0.1", 32, 8)->table = RT_TABLE_LOCAL;
	put_route("10.0.0.1", 32, 8)->table = 77;
	expect_rows(f, NULL, NULL, NULL, 3);
	expect_rows(f, "10.0.0.0/8", NULL, NULL, 1);
	expect_rows(f, "default", NULL, NULL, 1);
	expect_rows(f, "0.0.0.0/0", NULL, NULL, 1);
	expect_rows(f, "10.0.0.1", NULL, NULL, 0);
	expect_rows(f, "10.0.0.1", "table", "all", 2);
	expect_rows(f, "table", "local", NULL, 1);
	expect_rows(f, "t", "77", NULL, 1);
	expect_rows(f, "table", "all", NULL, 5);
	assert_string_equal(run(f, wr_cmd_route_show, "table", "x", NULL),
			    "22\n'x' is not a table; use main, local, all or a number\n");
	assert_memory_equal(run(f, wr_cmd_route_show, "10.0.0.1/8", NULL, NULL),
			    "22\n'10.0.0.1/8' is not expected here", 35);
	assert_memory_equal(run(f, wr_cmd_route_show, "10.0.0.0/33", NULL, NULL), "22\n", 3);
	assert_memory_equal(run(f, wr_cmd_route_show, "10.0.0.0/", NULL, NULL), "22\n", 3);
	assert_memory_equal(run(f, wr_cmd_route_show, "10.0.0.0/-1", NULL, NULL), "22\n", 3);
	assert_memory_equal(run(f, wr_cmd_route_show, "table", NULL, NULL), "22\n", 3);
	assert_memory_equal(run(f, wr_cmd_route_show, "10.0.0.0/8", "10.0.0.0/8", NULL), "22\n", 3);
}

static void several_addresses(void **state)
{
	struct fixture *f = *state;
	struct mirror_path path = {.gateway = addr("10.0.0.2"), .oif = 3, .weight = 1};
	struct mirror_route *r = put_route("10.1.0.0", 16, 8);

	r->n_paths = 1;
	r->paths = &path;
	put_nexthop(f, 8, &(struct nexthop){.type = NH_NEIGH, .is_resolved = true});
	assert_string_equal(
		run(f, wr_cmd_route_get, "10.1.2.3", "11.0.0.1", NULL),
		"0\n[{\"dst\":\"10.1.2.3\",\"gateway\":\"10.0.0.2\",\"dev\":\"eth0\","
		"\"flags\":[],\"route\":\"10.1.0.0/16\",\"via_weir\":true,\"why\":\"\"},"
		"{\"dst\":\"11.0.0.1\",\"error\":\"network unreachable\",\"flags\":[],"
		"\"via_weir\":false,"
		"\"why\":\"no route: the kernel answers network unreachable\"}]\n");
	assert_string_equal(run(f, wr_cmd_route_get, "10.1.2.3", "x", NULL),
			    "22\n'x' is not an IPv4 address\n");
	assert_string_equal(run(f, wr_cmd_route_get, "10.1", NULL, NULL),
			    "22\n'10.1' is not an IPv4 address\n");
	assert_string_equal(run(f, wr_cmd_route_get, NULL, NULL, NULL),
			    "22\nroute get: an address is missing\n");
}

/* As the kernel: by the loopback device, whatever interface has the address. */
static void own_address(void **state)
{
	struct fixture *f = *state;
	struct mirror_path path = {.oif = 3, .weight = 1};
	struct mirror_route *r = put_route("10.0.0.1", 32, FIB_NH_LOCAL);
	json_t *json;

	r->type = RTN_LOCAL;
	r->table = RT_TABLE_LOCAL;
	r->n_paths = 1;
	r->paths = &path;
	json = run_json(f, wr_cmd_route_get, "10.0.0.1", NULL, NULL);
	assert_string_equal(STR(json_array_get(json, 0), "type"), "local");
	assert_string_equal(STR(json_array_get(json, 0), "dev"), "lo");
	json_decref(json);
}

static void verdict_is(struct fixture *f, const char *dst, bool via_weir, const char *why)
{
	json_t *json = run_json(f, wr_cmd_route_get, dst, NULL, NULL),
	       *row = json_array_get(json, 0);

	assert_int_equal(json_is_true(json_object_get(row, "via_weir")), via_weir);
	assert_string_equal(STR(row, "why"), why);
	json_decref(json);
}

/* Each type of next hop, and what people are told of it. */
static void verdicts(void **state)
{
	struct fixture *f = *state;
	static struct nexthop host;
	uint16_t members[] = {8, 10, 11};

	put_nexthop(f, 8, &(struct nexthop){.type = NH_NEIGH, .gateway = addr("10.0.0.2")});
	put_route("10.1.0.0", 16, 8);
	verdict_is(
		f, "10.1.0.1", false,
		"the MAC address of 10.0.0.2 is not known yet: the kernel is asked when packets come");

	put_nexthop(f, 9, &(struct nexthop){.type = NH_ATTACHED, .oif = 3});
	put_route("10.2.0.0", 16, 9);
	verdict_is(
		f, "10.2.0.1", false,
		"the MAC address of 10.2.0.1 is not known yet: the kernel is asked when packets come");
	host = (struct nexthop){
		.type = NH_NEIGH, .oif = 3, .gateway = addr("10.2.0.1"), .is_resolved = true};
	f->weir.fib->neigh[wr_fib_neigh_bucket(3, host.gateway)] = &host;
	verdict_is(f, "10.2.0.1", true, "");
	f->weir.fib->neigh[wr_fib_neigh_bucket(3, host.gateway)] = NULL;

	put_nexthop(f, 10, &(struct nexthop){.type = NH_KERNEL});
	put_nexthop(f, 11, &(struct nexthop){.type = NH_NEIGH, .is_resolved = true});
	put_nexthop(f, 12, &(struct nexthop){.type = NH_GROUP, .n_members = 3, .members = members});
	put_route("10.3.0.0", 16, 12);
	verdict_is(
		f, "10.3.0.1", true,
		"1 of 3 paths: the others are the kernel's, or their neighbours are not known yet");
	nexthops[11].is_resolved = false;
	verdict_is(
		f, "10.3.0.1", false,
		"0 of 3 paths: the others are the kernel's, or their neighbours are not known yet");

	put_nexthop(f, FIB_NH_LOCAL, &(struct nexthop){.type = NH_LOCAL});
	put_nexthop(f, FIB_NH_REJECT, &(struct nexthop){.type = NH_REJECT});
	put_route("10.4.0.0", 16, FIB_NH_LOCAL)->type = RTN_LOCAL;
	verdict_is(f, "10.4.0.1", false, "for this host");
	put_route("10.5.0.0", 16, FIB_NH_REJECT)->type = RTN_PROHIBIT;
	verdict_is(f, "10.5.0.1", false, "the kernel answers that it is prohibited");
	put_route("10.6.0.0", 16, 11)->why_kernel = "tunnel";
	verdict_is(f, "10.6.0.1", false, "tunnel");
	put_route("10.7.0.0", 16, FIB_MAX_NH);
	f->weir.fib->neigh[0] = &host; /* what lies behind the array */
	verdict_is(f, "10.7.0.1", false, "not in the forwarding table");
}

static void not_in_use(void **state)
{
	struct fixture *f = *state;
	json_t *json;

	put_route("10.1.0.0", 16, 8)->in_use = false;
	json = run_json(f, wr_cmd_route_show, NULL, NULL, NULL);
	assert_true(json_is_false(json_object_get(json_array_get(json, 0), "via_weir")));
	assert_string_equal(STR(json_array_get(json, 0), "why"),
			    "not in use: another route to this prefix is preferred");
	json_decref(json);
}

/* What no route decides: a kind of destination, and transit that is off everywhere. */
static void before_the_route(void **state)
{
	struct fixture *f = *state;

	put_nexthop(f, FIB_NH_BLACKHOLE, &(struct nexthop){.type = NH_BLACKHOLE});
	put_route("0.0.0.0", 0, FIB_NH_BLACKHOLE);
	verdict_is(f, "10.1.0.1", true, "dropped, as the route says");
	verdict_is(f, "224.0.0.5", false,
		   "multicast, broadcast and reserved addresses are the kernel's");
	verdict_is(f, "255.255.255.255", false,
		   "multicast, broadcast and reserved addresses are the kernel's");
	f->weir.ports[0].transit = false;
	verdict_is(f, "10.1.0.1", false,
		   "the kernel forwards on all interfaces: see 'weir status'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(like_ip_route_show, setup, teardown),
		cmocka_unit_test_setup_teardown(selection, setup, teardown),
		cmocka_unit_test_setup_teardown(several_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(own_address, setup, teardown),
		cmocka_unit_test_setup_teardown(verdicts, setup, teardown),
		cmocka_unit_test_setup_teardown(not_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(before_the_route, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
