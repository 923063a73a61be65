/* SPDX-License-Identifier: BSD-3-Clause */
/* A kernel that lies: descriptors as none should write them. Needs no kernel. */
#include "lib/port/af_xdp.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A queue whose RX ring the test writes. */
struct fake {
	struct umem *umem;
	struct pool pool;
	struct port port;
	struct xdp_queue x;
	struct xdp_desc descs[64];
	uint64_t fill_addrs[64];
	uint32_t rx_producer, rx_consumer, fill_producer, fill_consumer, flags;
	uint64_t in_kernel[1];
};

enum { N_FAKE = 64 };

static int setup_fake(void **state)
{
	const struct umem_conf conf = {.n_frames = N_FAKE, .frame_bytes = 2048};
	struct fake *f = aligned_alloc(WR_CACHE_LINE, sizeof(*f));

	*state = f;
	if (!f)
		return -1;
	memset(f, 0, sizeof(*f));
	if (wr_umem_create(&conf, &f->umem, NULL))
		return -1;
	wr_pool_init(&f->pool, f->umem);
	f->x.umem = f->umem;
	f->x.q.port = &f->port;
	f->x.q.pool = &f->pool;
	f->x.in_kernel = f->in_kernel;
	f->x.rx_descs = N_FAKE;
	f->x.fd = -1;
	f->x.rx = (struct xsk_ring_cons){.mask = 63,
					 .size = 64,
					 .producer = &f->rx_producer,
					 .consumer = &f->rx_consumer,
					 .ring = f->descs,
					 .flags = &f->flags};
	f->x.fill = (struct xsk_ring_prod){.mask = 63,
					   .size = 64,
					   .cached_cons = 64,
					   .producer = &f->fill_producer,
					   .ring = f->fill_addrs,
					   .consumer = &f->fill_consumer,
					   .flags = &f->flags};
	return af_xdp_start(&f->x.q);
}

static int teardown_fake(void **state)
{
	struct fake *f = *state;
	bool ok = wr_umem_audit(f->umem) + f->pool.n + af_xdp_n_frames(&f->x.q) == N_FAKE;

	wr_af_xdp_return_frames(&f->x);
	wr_pool_fini(&f->pool);
	ok &= wr_umem_audit(f->umem) == N_FAKE;
	wr_umem_free(f->umem);
	free(f);
	return ok ? 0 : -1;
}

/* The kernel takes the next address from the fill ring and writes this descriptor. */
static void fake_receive(struct fake *f, uint64_t offset, uint32_t len, uint32_t options)
{
	uint64_t addr = f->fill_addrs[f->fill_consumer++ & 63] + offset;

	f->descs[f->rx_producer++ & 63] =
		(struct xdp_desc){.addr = addr, .len = len, .options = options};
}

static void lying_descriptors_are_refused(void **state)
{
	static const struct {
		uint64_t offset;
		uint32_t len;
	} cases[] = {
		{0, 2049},
		{256, 1793},
		{2047, 2},
		{0, 0},
		{0, UINT32_MAX},
		{100, UINT32_MAX - 50},
		{UINT64_MAX / 2, 60},
		{(uint64_t)N_FAKE * 2048, 60},
		{UINT64_MAX - 4096 * 64, 60},
	};
	struct fake *f = *state;
	struct packet *pkts[8];

	for (unsigned i = 0; i < wr_array_size(cases); i++) {
		fake_receive(f, cases[i].offset, cases[i].len, 0);
		assert_int_equal(af_xdp_rx(&f->x.q, pkts, 8), 0);
		assert_int_equal(f->x.q.counters.rx_bad, i + 1);
	}
	fake_receive(f, 256, 1792, 0);
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 8), 1);
	assert_int_equal(pkts[0]->len, 1792);
	wr_packet_free(&f->pool, pkts[0]);
}

static void a_frame_given_twice_is_refused(void **state)
{
	struct fake *f = *state;
	struct packet *pkts[8];

	fake_receive(f, 256, 60, 0);
	f->descs[1] = f->descs[0];
	f->rx_producer++;
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 8), 1);
	assert_int_equal(f->x.q.counters.rx_bad, 1);
	wr_packet_free(&f->pool, pkts[0]);
}

static void a_chain_may_have_18_segments(void **state)
{
	struct fake *f = *state;
	struct packet *pkts[8];

	for (unsigned i = 0; i < WR_MAX_SEGS; i++)
		fake_receive(f, 256, 1000 + i, i + 1 < WR_MAX_SEGS ? XDP_PKT_CONTD : 0);
	for (unsigned i = 0; i <= WR_MAX_SEGS; i++)
		fake_receive(f, 256, 1000, i < WR_MAX_SEGS ? XDP_PKT_CONTD : 0);
	fake_receive(f, 256, 60, 0);
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 8), 2);
	assert_int_equal(f->x.q.counters.rx_bad, 1);
	assert_int_equal(pkts[0]->n_segs, WR_MAX_SEGS);
	assert_int_equal(pkts[0]->len, 18 * 1000 + 17 * 18 / 2);
	assert_int_equal(pkts[1]->n_segs, 1);
	wr_packet_free(&f->pool, pkts[0]);
	wr_packet_free(&f->pool, pkts[1]);
}

static void a_chain_may_come_in_pieces(void **state)
{
	struct fake *f = *state;
	struct packet *pkts[8];

	fake_receive(f, 256, 100, XDP_PKT_CONTD);
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 8), 0);
	fake_receive(f, 256, 0, XDP_PKT_CONTD); /* spoils it */
	fake_receive(f, 256, 100, XDP_PKT_CONTD);
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 8), 0);
	fake_receive(f, 256, 100, 0);
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 8), 0);
	assert_int_equal(f->x.q.counters.rx_bad, 1);
	fake_receive(f, 256, 100, XDP_PKT_CONTD);
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 1), 0);
	fake_receive(f, 256, 100, 0);
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 1), 1);
	assert_int_equal(pkts[0]->len, 200);
	wr_packet_free(&f->pool, pkts[0]);
	fake_receive(f, 256, 100, XDP_PKT_CONTD); /* unfinished at the end */
	assert_int_equal(af_xdp_rx(&f->x.q, pkts, 1), 0);
}

int main(void)
{
#define FAKE(name) cmocka_unit_test_setup_teardown(name, setup_fake, teardown_fake)
	const struct CMUnitTest fakes[] = {
		FAKE(lying_descriptors_are_refused),
		FAKE(a_frame_given_twice_is_refused),
		FAKE(a_chain_may_have_18_segments),
		FAKE(a_chain_may_come_in_pieces),
	};

	return cmocka_run_group_tests(fakes, NULL, NULL);
}
