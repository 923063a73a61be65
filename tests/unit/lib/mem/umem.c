/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdbool.h>
#include <sys/mman.h>

/* The machine may have no huge pages; then others stand for them. */
static bool has_huge_pages;
static unsigned n_asked; /* for huge pages */

static int memfd_of_any_pages(const char *name, unsigned flags)
{
	if (!(flags & MFD_HUGETLB))
		return memfd_create(name, flags);
	n_asked++;
	return has_huge_pages ? memfd_create(name, MFD_CLOEXEC) : memfd_create(name, flags);
}
#define memfd_create memfd_of_any_pages
#include "lib/mem/umem.c"
#undef memfd_create

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct umem *create(uint32_t n_frames, uint32_t frame_bytes)
{
	const struct umem_conf conf = {.n_frames = n_frames, .frame_bytes = frame_bytes};
	struct wr_err err = {""};
	struct umem *umem = NULL;

	if (wr_umem_create(&conf, &umem, &err))
		fail_msg("%s", err.text);
	return umem;
}

static void frames_fill_whole_pages(void **state)
{
	struct umem *umem = create(3, 2048);

	(void)state;
	assert_int_equal(umem->n_frames, 4);
	assert_int_equal((uintptr_t)umem->base % 4096, 0);
	assert_int_equal(umem->frame_shift, 11);
	assert_int_equal(wr_umem_audit(umem), 4);
	wr_umem_free(umem);
}

static void frame_address_and_metadata_find_each_other(void **state)
{
	struct umem *umem = create(1000, 4096);

	(void)state;
	for (uint32_t i = 0; i < umem->n_frames; i++) {
		struct packet *pkt = &umem->packets[i];

		assert_int_equal(wr_frame_idx(umem, pkt), i);
		assert_ptr_equal(wr_frame_base(umem, pkt), umem->base + (size_t)i * 4096);
		assert_ptr_equal(wr_packet_at(umem, (uint64_t)i * 4096 + 4095), pkt);
		assert_int_equal(wr_packet_addr(umem, pkt), (uint64_t)i * 4096);
	}
	wr_umem_free(umem);
}

static void memory_is_what_the_memfd_maps(void **state)
{
	struct umem *umem = create(4, 2048);
	const uint8_t *other;

	(void)state;
	other = mmap(NULL, 4 * 2048, PROT_READ, MAP_SHARED, umem->memfd, 0);
	assert_ptr_not_equal(other, MAP_FAILED);
	umem->base[5000] = 77;
	assert_int_equal(other[5000], 77);
	wr_umem_free(umem);
}

static void huge_pages_are_used_if_there_are_any(void **state)
{
	struct umem *umem;

	(void)state;
	n_asked = 0;
	umem = create(HUGE_BYTES / 2048 - 1, 2048); /* smaller than one */
	assert_false(umem->is_huge);
	assert_int_equal(n_asked, 0);
	wr_umem_free(umem);
	has_huge_pages = true;
	umem = create(HUGE_BYTES / 2048 + 1, 2048);
	has_huge_pages = false;
	assert_true(umem->is_huge);
	assert_int_equal(n_asked, 1);
	assert_int_equal(umem->n_frames, 2 * HUGE_BYTES / 2048);
	wr_umem_free(umem);
}

static void without_huge_pages_others_do(void **state)
{
	struct umem *umem;
	FILE *meminfo = fopen("/proc/meminfo", "re");
	unsigned long n_free = 0;
	char line[100];

	(void)state;
	assert_non_null(meminfo);
	while (fgets(line, sizeof(line), meminfo) &&
	       sscanf(line, "HugePages_Free: %lu", &n_free) != 1)
		;
	fclose(meminfo);
	n_asked = 0;
	umem = create(HUGE_BYTES / 2048 + 2, 2048);
	assert_int_equal(n_asked, 1);
	if (n_free < 2) {
		assert_false(umem->is_huge);
		assert_int_equal(umem->n_frames, HUGE_BYTES / 2048 + 2);
	}
	umem->base[(size_t)umem->n_frames * 2048 - 1] = 1;
	wr_umem_free(umem);
}

/* MPOL_... of the memory, and its nodes. */
static int policy_of(const struct umem *umem, uint64_t *ret_nodes)
{
	int policy = -1;
	/* The kernel wants room for as many nodes as it was built for. */
	uint64_t nodes[1024 / 64] = {0};

	if (syscall(SYS_get_mempolicy, &policy, nodes, 1024 + 1, umem->base, MPOL_F_ADDR)) {
		print_message("skip: no NUMA in this kernel\n");
		skip();
	}
	*ret_nodes = nodes[0];
	return policy;
}

static void the_memory_prefers_the_node_it_was_told(void **state)
{
	static const struct {
		uint64_t nodes, got;
		int policy;
	} cases[] = {{0, 0, MPOL_DEFAULT},
		     {1, 1, MPOL_PREFERRED},
		     {UINT64_C(1) << 63, 0, MPOL_DEFAULT}}; /* no machine has it: from anywhere */

	(void)state;
	for (unsigned i = 0; i < wr_array_size(cases); i++) {
		const struct umem_conf conf = {
			.n_frames = 8, .frame_bytes = 2048, .numa_nodes = cases[i].nodes};
		struct umem *umem = NULL;
		uint64_t nodes;

		assert_int_equal(wr_umem_create(&conf, &umem, NULL), 0);
		assert_int_equal(policy_of(umem, &nodes), cases[i].policy);
		assert_int_equal(nodes, cases[i].got);
		assert_true(umem->numa_node >= 0);
		wr_umem_free(umem);
	}
}

static void depot_gives_each_frame_once(void **state)
{
	struct umem *umem = create(64, 2048);
	struct packet *frames[100];
	bool seen[64] = {false};

	(void)state;
	assert_int_equal(wr_umem_take(umem, frames, 10), 10);
	assert_int_equal(wr_umem_take(umem, frames + 10, 90), 54);
	assert_int_equal(wr_umem_take(umem, frames + 64, 1), 0);
	assert_int_equal(wr_umem_audit(umem), 0);
	for (unsigned i = 0; i < 64; i++) {
		assert_false(seen[wr_frame_idx(umem, frames[i])]);
		seen[wr_frame_idx(umem, frames[i])] = true;
	}
	wr_umem_give(umem, frames, 64);
	assert_int_equal(wr_umem_audit(umem), 64);
	wr_umem_free(umem);
}

static void impossible_memory_is_a_sentence(void **state)
{
	static const struct umem_conf confs[] = {
		{.n_frames = 0, .frame_bytes = 2048},
		{.n_frames = 8, .frame_bytes = 1024},
		{.n_frames = 8, .frame_bytes = 3000},
		{.n_frames = UINT32_MAX, .frame_bytes = 4096},
	};

	(void)state;
	for (unsigned i = 0; i < wr_array_size(confs); i++) {
		struct wr_err err = {""};
		struct umem *umem = NULL;

		assert_true(wr_umem_create(&confs[i], &umem, &err) < 0);
		assert_null(umem);
		assert_memory_equal(err.text, "packet memory: ", 15);
	}
}

enum { N_THREADS = 4, N_ROUNDS = 2000 };

static void *take_and_give(void *arg)
{
	struct umem *umem = arg;
	struct packet *frames[40];

	for (unsigned i = 0; i < N_ROUNDS; i++) {
		unsigned n = wr_umem_take(umem, frames, 40);

		/* A frame with two owners is a race for the thread sanitizer. */
		for (unsigned k = 0; k < n; k++)
			frames[k]->len++;
		wr_umem_give(umem, frames, n);
	}
	return NULL;
}

static void depot_is_shared_by_threads(void **state)
{
	struct umem *umem = create(128, 2048);
	pthread_t threads[N_THREADS];
	uint64_t n_taken = 0;

	(void)state;
	for (unsigned i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, umem), 0);
	for (unsigned i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(wr_umem_audit(umem), 128);
	for (unsigned i = 0; i < 128; i++)
		n_taken += umem->packets[i].len;
	assert_in_range(n_taken, N_ROUNDS * 40, N_THREADS * N_ROUNDS * 40);
	wr_umem_free(umem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_fill_whole_pages),
		cmocka_unit_test(frame_address_and_metadata_find_each_other),
		cmocka_unit_test(memory_is_what_the_memfd_maps),
		cmocka_unit_test(huge_pages_are_used_if_there_are_any),
		cmocka_unit_test(without_huge_pages_others_do),
		cmocka_unit_test(the_memory_prefers_the_node_it_was_told),
		cmocka_unit_test(depot_gives_each_frame_once),
		cmocka_unit_test(impossible_memory_is_a_sentence),
		cmocka_unit_test(depot_is_shared_by_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
