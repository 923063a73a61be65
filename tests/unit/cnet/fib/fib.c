/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/fib/fib.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct rcu_writer rcu;

static struct fib *new_fib(void)
{
	struct fib *fib;

	assert_int_equal(wr_fib_create(&rcu, &fib), 0);
	return fib;
}

static void reserved_next_hops_are_there(void **state)
{
	struct fib *fib = new_fib();

	(void)state;
	assert_int_equal(wr_fib_nh(fib, FIB_NH_NONE)->type, NH_NONE);
	assert_int_equal(wr_fib_nh(fib, FIB_NH_KERNEL)->type, NH_KERNEL);
	assert_int_equal(wr_fib_nh(fib, FIB_NH_LOCAL)->type, NH_LOCAL);
	assert_int_equal(wr_fib_nh(fib, FIB_NH_BLACKHOLE)->type, NH_BLACKHOLE);
	assert_int_equal(wr_fib_nh(fib, FIB_NH_REJECT)->type, NH_REJECT);
	wr_fib_free(fib);
}

static void indices_run_out_and_come_back(void **state)
{
	struct fib *fib = new_fib();
	struct nexthop nh = {.type = NH_ATTACHED, .oif = 3};
	int id;

	(void)state;
	for (unsigned i = 0; i < FIB_MAX_NH - FIB_NH_FIRST_FREE; i++) {
		id = wr_fib_nh_alloc(fib);
		assert_true(id >= FIB_NH_FIRST_FREE);
		assert_null(fib->nh[id]);
		assert_int_equal(wr_fib_nh_publish(fib, (uint32_t)id, &nh), 0);
	}
	assert_int_equal(wr_fib_nh_alloc(fib), -ENOSPC);
	wr_fib_nh_release(fib, 1000);
	assert_non_null(fib->nh[1000]); /* until the grace period a reader may still ask for it */
	wr_rcu_flush(&rcu);
	assert_int_equal(wr_fib_nh_alloc(fib), 1000);
	wr_fib_free(fib);
}

static void groups_are_copied_with_their_lists(void **state)
{
	struct fib *fib = new_fib();
	uint16_t buckets[4] = {10, 11, 10, 11}, members[2] = {10, 11};
	struct nexthop nh = {.type = NH_GROUP,
			     .n_buckets = 4,
			     .buckets = buckets,
			     .n_members = 2,
			     .members = members};
	struct nexthop *got;

	(void)state;
	assert_int_equal(wr_fib_nh_publish(fib, 20, &nh), 0);
	memset(buckets, 0, sizeof(buckets));
	memset(members, 0, sizeof(members));
	got = wr_fib_nh(fib, 20);
	assert_int_equal(got->id, 20);
	assert_int_equal(got->buckets[3], 11);
	assert_int_equal(got->members[1], 11);
	wr_fib_free(fib);
}

static void neighbours_of_one_bucket_stay_apart(void **state)
{
	struct fib *fib = new_fib();
	struct nexthop nh = {.type = NH_NEIGH, .is_resolved = true};

	(void)state;
	for (uint32_t i = 0; i < 40000; i++) {
		nh.mtu = i;
		assert_int_equal(wr_fib_neigh_set(fib, 1 + i % 3, ip4_from(i / 3), &nh), 0);
	}
	for (uint32_t i = 0; i < 40000; i += 2)
		wr_fib_neigh_del(fib, 1 + i % 3, ip4_from(i / 3));
	for (uint32_t i = 0; i < 40000; i++) {
		struct nexthop *got = wr_fib_neigh_lookup(fib, 1 + i % 3, ip4_from(i / 3));

		assert_true(i % 2 ? got && got->mtu == i : !got);
	}
	nh.mtu = 77;
	assert_int_equal(wr_fib_neigh_set(fib, 2, ip4_from(0), &nh), 0);
	assert_int_equal(wr_fib_neigh_lookup(fib, 2, ip4_from(0))->mtu, 77);
	assert_int_equal(fib->n_neighs, 20000);
	wr_fib_free(fib);
}

static void the_neighbour_table_is_bounded(void **state)
{
	struct fib *fib = new_fib();
	struct nexthop nh = {.type = NH_NEIGH};

	(void)state;
	for (uint32_t i = 0; i < FIB_NEIGH_MAX; i++)
		assert_int_equal(wr_fib_neigh_set(fib, 1, ip4_from(i), &nh), 0);
	assert_int_equal(wr_fib_neigh_set(fib, 1, ip4_from(FIB_NEIGH_MAX), &nh), -ENOSPC);
	assert_int_equal(wr_fib_neigh_set(fib, 1, ip4_from(5), &nh), 0); /* a replacement fits */
	wr_fib_free(fib);
}

/* The filter forgets an address only when no other of its bit is left. */
static void local_filter_counts_its_bits(void **state)
{
	struct fib *fib = new_fib();
	struct ip4 a = ip4_from(0x0a000001), b = a;

	(void)state;
	do
		b = ip4_from(ip4_to(b) + 1);
	while (wr_fib_local_bit(a) != wr_fib_local_bit(b));
	assert_false(wr_fib_maybe_local(fib, a));
	wr_fib_local_add(fib, a);
	wr_fib_local_add(fib, b);
	wr_fib_local_del(fib, b);
	assert_true(wr_fib_maybe_local(fib, a));
	wr_fib_local_del(fib, a);
	assert_false(wr_fib_maybe_local(fib, a));
	wr_fib_free(fib);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reserved_next_hops_are_there),
		cmocka_unit_test(indices_run_out_and_come_back),
		cmocka_unit_test(groups_are_copied_with_their_lists),
		cmocka_unit_test(neighbours_of_one_bucket_stay_apart),
		cmocka_unit_test(the_neighbour_table_is_bounded),
		cmocka_unit_test(local_filter_counts_its_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
