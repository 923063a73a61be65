/* SPDX-License-Identifier: BSD-3-Clause */
/* IPsec policies as messages, crafted. */
#include "cnet/mirror/obstacles_xfrm.c"

#include <endian.h>
#include <netlink/attr.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct nl_msg *policy(uint8_t dir, uint16_t family)
{
	struct xfrm_userpolicy_info p = {.dir = dir, .sel = {.family = family}};
	struct nl_msg *m = nlmsg_alloc_simple(XFRM_MSG_NEWPOLICY, 0);

	p.sel.saddr.a4 = htobe32(0x0a000000);
	p.sel.prefixlen_s = 8;
	p.sel.daddr.a4 = htobe32(0x0b010000);
	p.sel.prefixlen_d = 16;
	assert_non_null(m);
	assert_int_equal(nlmsg_append(m, &p, sizeof(p), NLMSG_ALIGNTO), 0);
	return m;
}

static struct look give(struct nl_msg *m)
{
	struct look look = {0};

	on_policy(&look, nlmsg_hdr(m));
	nlmsg_free(m);
	return look;
}

static void test_directions(void **state)
{
	(void)state;
	assert_int_equal(give(policy(XFRM_POLICY_FWD, AF_INET)).n_policies, 1);
	assert_string_equal(give(policy(XFRM_POLICY_FWD, AF_INET)).first,
			    "fwd 10.0.0.0/8 to 11.1.0.0/16");
	assert_int_equal(give(policy(XFRM_POLICY_OUT, AF_INET)).n_policies, 1);
	assert_int_equal(give(policy(XFRM_POLICY_IN, AF_INET)).n_policies, 0);
	assert_int_equal(give(policy(XFRM_POLICY_OUT, AF_INET6)).n_policies, 0);
	/* A family that says neither concerns both. */
	assert_int_equal(give(policy(XFRM_POLICY_OUT, AF_UNSPEC)).n_policies, 1);
}

static void test_selectors(void **state)
{
	struct xfrm_mark mark = {.v = 7, .m = 0xff};
	struct nl_msg *m = policy(XFRM_POLICY_OUT, AF_INET);

	(void)state;
	nla_put_u32(m, XFRMA_IF_ID, 5);
	assert_int_equal(give(m).n_policies, 0);
	m = policy(XFRM_POLICY_OUT, AF_INET);
	nla_put_u32(m, XFRMA_IF_ID, 0);
	assert_int_equal(give(m).n_policies, 1);
	m = policy(XFRM_POLICY_OUT, AF_INET);
	nla_put(m, XFRMA_MARK, sizeof(mark), &mark);
	assert_int_equal(give(m).n_policies, 0);
	mark.v = 0;
	m = policy(XFRM_POLICY_OUT, AF_INET);
	nla_put(m, XFRMA_MARK, sizeof(mark), &mark);
	assert_int_equal(give(m).n_policies, 1);
}

static void test_cut(void **state)
{
	struct nl_msg *m = policy(XFRM_POLICY_OUT, AF_INET);
	const struct nlmsghdr *whole = nlmsg_hdr(m);

	(void)state;
	nla_put_u32(m, XFRMA_IF_ID, 5);
	for (uint32_t len = NLMSG_HDRLEN; len < whole->nlmsg_len; len++) {
		struct nlmsghdr *cut = malloc(len);
		struct look look = {0};

		assert_non_null(cut);
		memcpy(cut, whole, len);
		cut->nlmsg_len = len;
		on_policy(&look, cut);
		assert_true(look.err == -EBADMSG || look.n_policies == 1);
		free(cut);
	}
	nlmsg_free(m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directions),
		cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
