/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/mem/pool.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N_FRAMES = 2048 };

struct fixture {
	struct umem *umem;
	struct pool pool;
};

static int setup(void **state)
{
	const struct umem_conf conf = {.n_frames = N_FRAMES, .frame_bytes = 2048};
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f || wr_umem_create(&conf, &f->umem, NULL))
		return -1;
	wr_pool_init(&f->pool, f->umem);
	return 0;
}

/* Every test ends with all frames free. */
static int teardown(void **state)
{
	struct fixture *f = *state;
	bool is_whole;

	wr_pool_fini(&f->pool);
	is_whole = wr_umem_audit(f->umem) == f->umem->n_frames;
	wr_umem_free(f->umem);
	free(f);
	return is_whole ? 0 : -1;
}

static void frames_come_and_go_in_batches(void **state)
{
	struct fixture *f = *state;
	struct packet *pkt;

	assert_int_equal(wr_pool_get(&f->pool, &pkt, 1), 1);
	assert_int_equal(f->pool.n, WR_POOL_BATCH - 1);
	assert_int_equal(wr_umem_audit(f->umem), N_FRAMES - WR_POOL_BATCH);
	wr_packet_free(&f->pool, pkt);
	assert_int_equal(f->pool.n, WR_POOL_BATCH);
}

static void a_full_pool_spills(void **state)
{
	struct fixture *f = *state;
	static struct packet *pkts[WR_POOL_MAX + 1];

	assert_int_equal(wr_pool_get(&f->pool, pkts, WR_POOL_MAX + 1), WR_POOL_MAX + 1);
	wr_pool_fini(&f->pool);
	for (unsigned i = 0; i < WR_POOL_MAX + 1; i++)
		wr_packet_free(&f->pool, pkts[i]);
	assert_int_equal(f->pool.n, WR_POOL_MAX - WR_POOL_BATCH + 1);
}

static void an_empty_pool_says_so(void **state)
{
	struct fixture *f = *state;
	static struct packet *pkts[N_FRAMES + 5];

	assert_int_equal(wr_pool_get(&f->pool, pkts, N_FRAMES + 5), N_FRAMES);
	assert_int_equal(f->pool.n_empty, 5);
	for (unsigned i = 0; i < N_FRAMES; i++)
		wr_pool_put_frame(&f->pool, pkts[i]);
}

static void a_new_packet_is_empty(void **state)
{
	struct fixture *f = *state;
	struct packet *pkt;

	assert_int_equal(wr_pool_get(&f->pool, &pkt, 1), 1);
	pkt->data += 99;
	pkt->flags = PKT_CSUM_PARTIAL;
	pkt->gso_bytes = 1400;
	pkt->n_segs = 7;
	wr_packet_free(&f->pool, pkt);
	assert_int_equal(wr_pool_get(&f->pool, &pkt, 1), 1);
	assert_ptr_equal(pkt->data, wr_frame_base(f->umem, pkt));
	assert_int_equal(pkt->flags, 0);
	assert_int_equal(pkt->gso_bytes, 0);
	assert_int_equal(pkt->n_segs, 1);
	assert_int_equal(pkt->len + pkt->seg_len, 0);
	assert_null(pkt->next);
	wr_packet_free(&f->pool, pkt);
}

static void bytes_go_in_and_out(void **state)
{
	static const size_t sizes[] = {0, 1, 60, 1984, 1985, 2048, 2049, 9014, 18 * 2048};
	static uint8_t in[18 * 2048 + 1], out[18 * 2048 + 1];
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7 + i / 256);
	for (unsigned i = 0; i < wr_array_size(sizes); i++) {
		struct packet *pkt = wr_packet_from(&f->pool, in, sizes[i]);

		assert_non_null(pkt);
		assert_int_equal(pkt->len, sizes[i]);
		assert_int_equal(pkt->n_segs, sizes[i] ? (sizes[i] + 2047) / 2048 : 1);
		assert_int_equal(wr_packet_has_headroom(f->umem, pkt, WR_HEADROOM),
				 sizes[i] <= 2048 - WR_HEADROOM);
		memset(out, 0, sizeof(out));
		assert_int_equal(wr_packet_copy_out(pkt, out, sizeof(out)), sizes[i]);
		assert_memory_equal(in, out, sizes[i]);
		assert_int_equal(wr_packet_copy_out(pkt, out, 50), sizes[i] < 50 ? sizes[i] : 50);
		wr_packet_free(&f->pool, pkt);
	}
	assert_null(wr_packet_from(&f->pool, in, sizeof(in)));
}

static void no_packet_from_too_few_frames(void **state)
{
	static const uint8_t in[4096];
	struct fixture *f = *state;
	static struct packet *pkts[N_FRAMES - 1];

	assert_int_equal(wr_pool_get(&f->pool, pkts, N_FRAMES - 1), N_FRAMES - 1);
	assert_null(wr_packet_from(&f->pool, in, sizeof(in)));
	assert_int_equal(f->pool.n + wr_umem_audit(f->umem), 1);
	for (unsigned i = 0; i < N_FRAMES - 1; i++)
		wr_packet_free(&f->pool, pkts[i]);
}

static void trim_cuts_and_frees(void **state)
{
	static const struct {
		uint32_t len;
		uint8_t n_segs;
		uint16_t last;
	} cases[] = {
		{9014, 5, 822},  {8193, 5, 1}, {8192, 4, 2048}, {2049, 2, 1},
		{2048, 1, 2048}, {60, 1, 60},  {0, 1, 0},       {9999, 5, 822},
	};
	static uint8_t in[9014], out[9014];
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 13);
	for (unsigned i = 0; i < wr_array_size(cases); i++) {
		struct packet *pkt = wr_packet_from(&f->pool, in, sizeof(in)), *last = pkt;
		uint32_t len = cases[i].len < 9014 ? cases[i].len : 9014;
		unsigned n_segs = 1;

		wr_packet_trim(&f->pool, pkt, cases[i].len);
		for (; last->next; last = last->next)
			n_segs++;
		assert_int_equal(pkt->len, len);
		assert_int_equal(pkt->n_segs, cases[i].n_segs);
		assert_int_equal(n_segs, cases[i].n_segs);
		assert_int_equal(last->seg_len, cases[i].last);
		assert_int_equal(wr_packet_copy_out(pkt, out, sizeof(out)), len);
		assert_memory_equal(in, out, len);
		assert_int_equal(f->pool.n + wr_umem_audit(f->umem), N_FRAMES - n_segs);
		wr_packet_free(&f->pool, pkt);
	}
}

/* A packet of `n` bytes in segments of at most `seg_bytes`, each `offset` into its frame. */
static struct packet *make_chain(struct fixture *f, const uint8_t *bytes, size_t n,
				 size_t seg_bytes, size_t offset)
{
	struct packet *first = NULL, **next = &first;

	for (size_t at = 0; at < n; at += seg_bytes) {
		size_t part = n - at < seg_bytes ? n - at : seg_bytes;
		struct packet *seg;

		assert_int_equal(wr_pool_get(&f->pool, &seg, 1), 1);
		wr_packet_init(seg, seg->data + offset, (uint16_t)part);
		memcpy(seg->data, bytes + at, part);
		*next = seg;
		next = &seg->next;
	}
	first->len = (uint32_t)n;
	first->n_segs = (uint8_t)((n + seg_bytes - 1) / seg_bytes);
	first->flags = PKT_CSUM_PARTIAL;
	first->tx_port = 5;
	return first;
}

static void headroom_is_made_where_it_lacks(void **state)
{
	enum { HEADROOM = 24, MAX = 17 * 2048 };
	static const struct {
		size_t n, seg_bytes, offset;
		uint8_t n_segs;
		bool is_same;
	} cases[] = {
		{60, 2048, 256, 1, true},  {60, 2048, 24, 1, true},   {60, 2048, 0, 1, true},
		{2024, 2048, 0, 1, true},  {2024, 2048, 23, 1, true}, {2025, 2048, 0, 2, false},
		{2048, 2048, 0, 2, false}, {9014, 2048, 0, 5, false}, {9014, 1792, 256, 6, true},
		{100, 7, 3, 1, false},     {MAX, 2048, 0, 18, false},
	};
	static uint8_t in[MAX], out[MAX];
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 11 + i / 256);
	for (unsigned i = 0; i < wr_array_size(cases); i++) {
		struct packet *pkt =
			make_chain(f, in, cases[i].n, cases[i].seg_bytes, cases[i].offset);
		struct packet *got = wr_packet_with_headroom(&f->pool, pkt, HEADROOM);

		assert_non_null(got);
		assert_int_equal(got == pkt, cases[i].is_same);
		assert_true(wr_packet_has_headroom(f->umem, got, HEADROOM));
		assert_int_equal(got->n_segs, cases[i].n_segs);
		assert_int_equal(got->flags, PKT_CSUM_PARTIAL);
		assert_int_equal(got->tx_port, 5);
		assert_int_equal(got->len, cases[i].n);
		assert_int_equal(wr_packet_copy_out(got, out, sizeof(out)), cases[i].n);
		assert_memory_equal(in, out, cases[i].n);
		assert_int_equal(f->pool.n + wr_umem_audit(f->umem), N_FRAMES - got->n_segs);
		wr_packet_free(&f->pool, got);
	}
}

static void headroom_that_cannot_be_made(void **state)
{
	static const uint8_t in[18 * 2048];
	static struct packet *hoard[N_FRAMES];
	struct fixture *f = *state;
	struct packet *pkt = make_chain(f, in, sizeof(in), 2048, 0); /* would take 19 */
	unsigned n;

	assert_null(wr_packet_with_headroom(&f->pool, pkt, 24));
	assert_int_equal(pkt->n_segs, 18);
	wr_packet_free(&f->pool, pkt);
	pkt = make_chain(f, in, 3000, 2048, 0);
	n = wr_pool_get(&f->pool, hoard, N_FRAMES - 3); /* one is left */
	assert_null(wr_packet_with_headroom(&f->pool, pkt, 24));
	assert_int_equal(f->pool.n + wr_umem_audit(f->umem), 1);
	wr_packet_free(&f->pool, pkt);
	while (n)
		wr_packet_free(&f->pool, hoard[--n]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(frames_come_and_go_in_batches), TEST(a_full_pool_spills),
		TEST(an_empty_pool_says_so),         TEST(a_new_packet_is_empty),
		TEST(bytes_go_in_and_out),           TEST(no_packet_from_too_few_frames),
		TEST(trim_cuts_and_frees),           TEST(headroom_is_made_where_it_lacks),
		TEST(headroom_that_cannot_be_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
