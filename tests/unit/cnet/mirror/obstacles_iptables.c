/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables as getsockopt() gives them, crafted. */
#include "cnet/mirror/obstacles_iptables.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { RULE_BYTES = sizeof(struct ipt_entry) + sizeof(struct xt_standard_target), MAX_RULES = 8 };

/* A table with a chain FORWARD: `n_rules` rules and the policy. */
struct table {
	struct ipt_getinfo info;
	_Alignas(8) char rules[MAX_RULES * RULE_BYTES];
};

static struct obst_list list;

static struct ipt_entry *entry(struct table *t, unsigned i)
{
	return (struct ipt_entry *)(t->rules + i * RULE_BYTES);
}

static struct xt_standard_target *target(struct table *t, unsigned i)
{
	return (struct xt_standard_target *)(entry(t, i) + 1);
}

static struct table make(unsigned n_rules, int policy)
{
	struct table t = {.info = {.name = "filter", .valid_hooks = 1U << NF_INET_FORWARD}};

	for (unsigned i = 0; i <= n_rules; i++) {
		entry(&t, i)->target_offset = sizeof(struct ipt_entry);
		entry(&t, i)->next_offset = RULE_BYTES;
		target(&t, i)->verdict = policy;
	}
	t.info.underflow[NF_INET_FORWARD] = n_rules * RULE_BYTES;
	t.info.size = (n_rules + 1) * RULE_BYTES;
	return t;
}

static int judge(const struct table *t)
{
	memset(&list, 0, sizeof(list));
	return judge_table(&t->info, t->rules, &list);
}

static void test_counts(void **state)
{
	struct table t = make(0, VERDICT_ACCEPT);

	(void)state;
	assert_int_equal(judge(&t), 0);
	assert_int_equal(list.n, 0);
	t = make(0, -NF_DROP - 1);
	assert_int_equal(judge(&t), 0);
	assert_string_equal(list.items[0].sentence, "iptables-legacy table filter: chain FORWARD "
						    "(0 rules, policy drop)" OBST_BYPASS);
	t = make(1, VERDICT_ACCEPT);
	assert_int_equal(judge(&t), 0);
	assert_string_equal(list.items[0].sentence, "iptables-legacy table filter: chain FORWARD "
						    "(1 rule, policy accept)" OBST_BYPASS);
	assert_true(list.items[0].is_netfilter);
	/* A hook that transit does not pass. */
	t.info.valid_hooks = 1U << NF_INET_LOCAL_IN;
	assert_int_equal(judge(&t), 0);
	assert_int_equal(list.n, 0);
}

/* A policy that is a named target is not accept, whatever lies where the verdict would. */
static void test_named_target(void **state)
{
	struct table t = make(0, VERDICT_ACCEPT);

	(void)state;
	strcpy(target(&t, 0)->target.u.user.name, "ERROR");
	assert_int_equal(judge(&t), 0);
	assert_int_equal(list.n, 1);
}

static void test_lies(void **state)
{
	struct table t = make(2, VERDICT_ACCEPT);

	(void)state;
	entry(&t, 1)->next_offset = 0;
	assert_int_equal(judge(&t), -EBADMSG);
	entry(&t, 1)->next_offset = 0xffff;
	assert_int_equal(judge(&t), -EBADMSG);
	entry(&t, 1)->next_offset = RULE_BYTES - 8;
	assert_int_equal(judge(&t), -EBADMSG);
	t = make(2, VERDICT_ACCEPT);
	t.info.underflow[NF_INET_FORWARD] = t.info.size;
	assert_int_equal(judge(&t), -EBADMSG);
	t.info.underflow[NF_INET_FORWARD] = UINT32_MAX;
	assert_int_equal(judge(&t), -EBADMSG);
	t = make(2, VERDICT_ACCEPT);
	t.info.hook_entry[NF_INET_FORWARD] = UINT32_MAX;
	assert_int_equal(judge(&t), -EBADMSG);
	t = make(2, VERDICT_ACCEPT);
	entry(&t, 2)->next_offset = RULE_BYTES + 8;
	assert_int_equal(judge(&t), -EBADMSG);
	/* A target beyond its rule: not provably accept. */
	t = make(0, VERDICT_ACCEPT);
	entry(&t, 0)->target_offset = RULE_BYTES - 4;
	assert_int_equal(judge(&t), 0);
	assert_int_equal(list.n, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_named_target),
		cmocka_unit_test(test_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
