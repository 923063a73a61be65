/* SPDX-License-Identifier: BSD-3-Clause */
/* Qdiscs as messages, crafted: also kinds that this machine's kernel lacks. */
#include "cnet/mirror/obstacles_tc.c"

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct obst_list list;
static struct obst_ask ask;
static struct look look;

static int setup(void **state)
{
	(void)state;
	memset(&list, 0, sizeof(list));
	ask.inet_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	look = (struct look){.ask = &ask, .list = &list};
	return ask.inet_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	free(look.places);
	close(ask.inet_fd);
	return 0;
}

static struct nl_msg *qdisc(const char *kind, uint32_t handle, uint32_t parent)
{
	struct tcmsg tc = {.tcm_ifindex = 1, .tcm_handle = handle, .tcm_parent = parent};
	struct nl_msg *m = nlmsg_alloc_simple(RTM_NEWQDISC, 0);

	assert_non_null(m);
	assert_int_equal(nlmsg_append(m, &tc, sizeof(tc), NLMSG_ALIGNTO), 0);
	if (kind)
		nla_put_string(m, TCA_KIND, kind);
	return m;
}

static void give(struct nl_msg *m)
{
	restart(&look);
	on_qdisc(&look, nlmsg_hdr(m));
	nlmsg_free(m);
}

static void test_kinds(void **state)
{
	static const struct {
		const char *kind;
		uint32_t handle, parent;
		unsigned n_obstacles, n_places;
		uint32_t ask_parent; /* of the last place */
	} cases[] = {
		{"noqueue", 0, TC_H_ROOT, 0, 0, 0},
		{"mq", 0, TC_H_ROOT, 0, 0, 0},
		{"pfifo_fast", 0, 1, 0, 0, 0},
		{"fq", 0x10000, TC_H_ROOT, 0, 0, 0},
		{"fq_codel", 0x10000, TC_H_ROOT, 0, 1, 0x10000},
		{"fq_codel", 0, TC_H_ROOT, 0, 1, FILTERS_AT_ROOT},
		{"fq_codel", 0, 1, 0, 0, 0},
		{"htb", 0x10000, TC_H_ROOT, 1, 0, 0},
		{"netem", 0x10000, 0x20001, 1, 0, 0},
		{"nextyears", 0, TC_H_ROOT, 1, 0, 0},
		{"ingress", 0xffff0000, TC_H_INGRESS, 0, 1, 0xffff0000},
		{"clsact", 0xffff0000, TC_H_CLSACT, 0, 2, 0xfffffff3},
	};

	(void)state;
	for (unsigned i = 0; i < wr_array_size(cases); i++) {
		give(qdisc(cases[i].kind, cases[i].handle, cases[i].parent));
		assert_int_equal(look.err, 0);
		assert_int_equal(list.n, cases[i].n_obstacles);
		assert_int_equal(look.n_places, cases[i].n_places);
		if (look.n_places)
			assert_int_equal(look.places[look.n_places - 1].parent,
					 cases[i].ask_parent);
	}
	assert_int_equal(look.places[0].parent, 0xfffffff2);
	assert_true(look.places[0].is_ingress);
	assert_false(look.places[1].is_ingress);
}

static void test_text(void **state)
{
	(void)state;
	give(qdisc("htb", 0x10000, TC_H_ROOT));
	assert_string_equal(list.items[0].sentence,
			    "tc qdisc htb on lo (egress): what Weir sends passes it by; delete it, "
			    "or the kernel forwards");
	assert_int_equal(list.items[0].ifindex, 0);
	assert_false(list.items[0].is_netfilter);
}

static void test_bad(void **state)
{
	struct nl_msg *m = qdisc("htb", 0, TC_H_ROOT);
	struct nlmsghdr *h = nlmsg_hdr(m);

	(void)state;
	give(qdisc(NULL, 0, 0));
	assert_int_equal(look.err, -EBADMSG);
	for (uint32_t len = NLMSG_HDRLEN; len < NLMSG_HDRLEN + sizeof(struct tcmsg) + 8; len++) {
		restart(&look);
		h->nlmsg_len = len;
		on_qdisc(&look, h);
		assert_int_equal(look.err, -EBADMSG);
	}
	nlmsg_free(m);
}

static void test_limit(void **state)
{
	int err = 0;

	(void)state;
	for (unsigned i = 0; i <= MAX_PLACES && !err; i++)
		err = add_place(&look, (struct place){.ifindex = i});
	assert_int_equal(err, -EFBIG);
	assert_int_equal(look.n_places, MAX_PLACES);
}

static void test_own_taps(void **state)
{
	(void)state;
	assert_true(is_own_tap("weir7"));
	assert_true(is_own_tap("weir1234"));
	assert_false(is_own_tap("weir"));
	assert_false(is_own_tap("weir7a"));
	assert_false(is_own_tap("weird7"));
	assert_false(is_own_tap("eth0"));
	assert_false(is_own_tap("wei"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_kinds), T(test_text), T(test_bad), T(test_limit), T(test_own_taps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
