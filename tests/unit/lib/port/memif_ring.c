/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shared memory in which somebody writes what does not belong there. Both ends are ports of this
 * process; the test writes through the mapping of the one that is the culprit.
 */
#include "lib/port/memif_ring.c"

#include "tests/unit/lib/port/memif_world.h"

#include <pthread.h>

enum { N_SLOTS = 256, BUFFER_BYTES = 512 };

static struct memif_link *link_of(struct world *w, unsigned end)
{
	return ((struct memif_port *)w->ends[end])->link;
}

static void open_tampered(struct world *w)
{
	open_pair(w, ",role=server", ",descs=256,buffer=512");
}

static unsigned exchange_one(struct world *w, unsigned from, unsigned number)
{
	send_one(queue_of(w, from, 0), number, 60);
	flush(queue_of(w, from, 0));
	return receive(queue_of(w, !from, 0), number, 60);
}

/* Slot 0 of three packets that are on their way becomes `d`; the other two arrive. */
static void spoil_first(struct world *w, unsigned from, const struct mif_desc *d)
{
	struct port_queue *to = queue_of(w, !from, 0);
	const uint64_t n_bad = to->counters.rx_bad;
	const uint16_t slot = wr_memif_queue(queue_of(w, from, 0))->tx_next;

	for (unsigned i = 0; i < 3; i++)
		send_one(queue_of(w, from, 0), i, 60);
	flush(queue_of(w, from, 0));
	link_of(w, from)->tx[0].shm->descs[slot % N_SLOTS] = *d;
	assert_int_equal(receive(to, 1, 60), 2);
	assert_int_equal(to->counters.rx_bad, n_bad + 1);
}

static void a_bad_descriptor_is_one_packet_refused(void **state)
{
	struct world *w = *state;
	uint32_t n_bytes;

	open_tampered(w);
	n_bytes = (uint32_t)link_of(w, 1)->n_bytes;
	const struct mif_desc to_server[] = {
		{.region_idx = 1, .n_bytes = 60},
		{.region_idx = UINT16_MAX, .n_bytes = 60},
		{.n_bytes = 60, .offset = n_bytes - 59},
		{.n_bytes = 60, .offset = n_bytes + 1},
		{.n_bytes = 60, .offset = UINT32_MAX},
		{.n_bytes = UINT32_MAX, .offset = 1},
		{.n_bytes = n_bytes, .offset = 1},
		{.n_bytes = 36865, .offset = 0}, /* in the region, longer than a packet may be */
		{.n_bytes = 13, .offset = 0},
		{.n_bytes = 0, .offset = 0},
	};
	const struct mif_desc to_client[] = {
		{.n_bytes = BUFFER_BYTES + 1},
		{.n_bytes = UINT32_MAX},
		{.n_bytes = 13},
	};

	for (unsigned i = 0; i < wr_array_size(to_server); i++)
		spoil_first(w, 1, &to_server[i]);
	for (unsigned i = 0; i < wr_array_size(to_client); i++)
		spoil_first(w, 0, &to_client[i]);
	/* The first and the last byte of the region are in it; a client does not look there. */
	send_one(queue_of(w, 1, 0), 0, 60);
	flush(queue_of(w, 1, 0));
	link_of(w, 1)->tx[0].shm->descs[30] =
		(struct mif_desc){.n_bytes = 36864, .offset = n_bytes - 36864};
	struct packet *pkt;

	assert_int_equal(wr_port_rx(queue_of(w, 0, 0), &pkt, 1), 1);
	assert_int_equal(pkt->len, 36864);
	wr_packet_free(queue_of(w, 0, 0)->pool, pkt);
	assert_int_equal(exchange_one(w, 0, 0), 1);
	assert_int_equal(exchange_one(w, 1, 0), 1);
	assert_int_equal(fact_of(w->ends[0], "n_connects"), 1);
}

/* `n_chained` slots that go on, then one that ends; `is_cut`: without that one. */
static void send_chain(struct world *w, unsigned from, unsigned n_chained, bool is_cut)
{
	struct port_queue *q = queue_of(w, from, 0);
	const uint16_t slot = wr_memif_queue(q)->tx_next;

	for (unsigned i = 0; i < n_chained + !is_cut; i++)
		send_one(q, i, 60);
	flush(q);
	for (unsigned i = 0; i < n_chained; i++)
		link_of(w, from)->tx[0].shm->descs[(slot + i) % N_SLOTS].flags = MIF_DESC_NEXT;
}

static void an_endless_chain_is_one_packet_refused(void **state)
{
	static const unsigned lengths[] = {1, 2, 63, 64, 65, 128, 200, 255, N_SLOTS};
	struct world *w = *state;

	open_tampered(w);
	for (unsigned from = 0; from < 2; from++) {
		struct port_queue *to = queue_of(w, !from, 0);

		for (unsigned i = 0; i < wr_array_size(lengths); i++) {
			const uint64_t n_bad = to->counters.rx_bad;

			send_chain(w, from, lengths[i], true);
			assert_int_equal(receive(to, 0, 60), 0);
			assert_int_equal(to->counters.rx_bad, n_bad + 1);
			assert_int_equal(exchange_one(w, from, i), 1);
		}
	}
}

static void a_chain_too_long_ends_where_it_ends(void **state)
{
	struct world *w = *state;

	open_tampered(w);
	for (unsigned from = 0; from < 2; from++) {
		struct port_queue *to = queue_of(w, !from, 0);

		for (unsigned n = MEMIF_MAX_CHAIN; n < N_SLOTS - 1; n += 37) {
			const uint64_t n_bad = to->counters.rx_bad;

			send_chain(w, from, n, false);
			assert_int_equal(exchange_one(w, from, n), 1);
			assert_int_equal(to->counters.rx_bad, n_bad + 1);
		}
		/* And one that is as long as it may be. */
		send_chain(w, from, MEMIF_MAX_CHAIN - 1, false);
		struct packet *pkt;

		assert_int_equal(wr_port_rx(to, &pkt, 1), 1);
		assert_int_equal(pkt->len, 60 * MEMIF_MAX_CHAIN);
		wr_packet_free(to->pool, pkt);
	}
}

/* DPDK's client sets it, and never takes it off a slot that it uses again. */
static void a_server_takes_the_chains_mark_off(void **state)
{
	struct world *w = *state;

	open_tampered(w);
	send_one(queue_of(w, 1, 0), 0, 3 * BUFFER_BYTES);
	flush(queue_of(w, 1, 0));
	assert_int_equal(link_of(w, 1)->tx[0].shm->descs[1].flags, MIF_DESC_NEXT);
	assert_int_equal(receive(queue_of(w, 0, 0), 0, 3 * BUFFER_BYTES), 1);
	assert_int_equal(link_of(w, 1)->tx[0].shm->descs[0].flags, 0);
	assert_int_equal(link_of(w, 1)->tx[0].shm->descs[1].flags, 0);
}

static void discard_counts_packets_not_slots(void **state)
{
	struct world *w = *state;

	open_tampered(w);
	for (unsigned from = 0; from < 2; from++) {
		struct port_queue *to = queue_of(w, !from, 0);

		for (unsigned i = 0; i < 5; i++)
			send_one(queue_of(w, from, 0), i, 1500);
		flush(queue_of(w, from, 0));
		to->port->ops->discard(to);
		assert_int_equal(to->counters.rx_stale, 5);
		assert_int_equal(to->counters.rx_pkts, 0);
		assert_int_equal(exchange_one(w, from, 7), 1);
	}
}

static void a_buffer_that_is_none_is_given_back_empty(void **state)
{
	struct world *w = *state;
	struct port_queue *q;
	struct mif_desc *descs;

	open_tampered(w);
	q = queue_of(w, 0, 0);
	descs = link_of(w, 1)->rx[0].shm->descs;
	descs[0].region_idx = 5;
	descs[2].n_bytes = 0; /* in the middle of the second packet */
	send_one(q, 0, 60);
	send_one(q, 1, 1500);
	send_one(q, 2, 1500);
	flush(q);
	assert_int_equal(q->counters.tx_errors, 2);
	assert_int_equal(q->counters.tx_pkts, 3);
	assert_int_equal(receive(queue_of(w, 1, 0), 2, 1500), 1);
	assert_int_equal(queue_of(w, 1, 0)->counters.rx_bad, 3);
}

/* The index that `culprit` writes in the other end's ring jumps ahead. */
static void spoil_index(struct world *w, unsigned culprit, bool in_rx)
{
	const uint64_t n = fact_of(w->ends[!culprit], "n_connects");
	struct port_queue *victim = queue_of(w, !culprit, 0);
	struct memif_ring *ring = in_rx ? &link_of(w, culprit)->tx[0] : &link_of(w, culprit)->rx[0];
	struct packet *pkt;

	__atomic_store_n(ring->own, (uint16_t)(*ring->own + N_SLOTS + 1), __ATOMIC_RELEASE);
	if (in_rx)
		assert_int_equal(wr_port_rx(victim, &pkt, 1), 0);
	else
		send_one(victim, 0, 60);
	flush(victim);
	assert_non_null(link_of(w, !culprit)->broken);
	await(w, culprit, false);
	await(w, 0, true);
	await(w, 1, true);
	assert_int_equal(fact_of(w->ends[!culprit], "n_connects"), n + 1);
	assert_int_equal(exchange_one(w, 0, 0), 1);
	assert_int_equal(exchange_one(w, 1, 0), 1);
}

static void an_index_beyond_the_ring_ends_the_connection(void **state)
{
	struct world *w = *state;

	open_tampered(w);
	spoil_index(w, 0, true);
	spoil_index(w, 0, false);
	spoil_index(w, 1, true);
	spoil_index(w, 1, false);
}

/* --- somebody who writes all the time --------------------------------------------------------- */

enum { N_ROUNDS = 4000 };

struct scribbler {
	struct memif_region region; /* a mapping of its own */
	bool is_over;
};

/* Indices now and then, descriptors and bytes mostly. */
static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	uint64_t x = 88172645463325252;

	while (!__atomic_load_n(&s->is_over, __ATOMIC_RELAXED)) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		const size_t ring_bytes =
			sizeof(struct mif_ring) + N_SLOTS * sizeof(struct mif_desc);
		size_t at = (x >> 8) % (2 * ring_bytes);

		if (at % ring_bytes >= sizeof(struct mif_ring) || !(x % 4096))
			__atomic_store_n(s->region.base + at, (uint8_t)(x >> 40), __ATOMIC_RELAXED);
	}
	return NULL;
}

static void work_under(struct world *w)
{
	for (unsigned i = 0; i < N_ROUNDS; i++) {
		for (unsigned end = 0; end < 2; end++) {
			struct port_queue *q = queue_of(w, end, 0);
			struct packet *pkts[32], *pkt = numbered(q->pool, i, 14 + i % 3000);
			unsigned n;

			if (pkt)
				wr_port_tx(q, &pkt, 1);
			flush(q);
			n = wr_port_rx(q, pkts, 32);
			while (n)
				wr_packet_free(q->pool, pkts[--n]);
		}
	}
}

static void one_who_scribbles_harms_nobody(void **state)
{
	struct world *w = *state;

	open_tampered(w);
	for (unsigned round = 0; round < 3; round++) {
		struct scribbler s = {.is_over = false};
		struct memif_link *other = wr_memif_link_new();
		const struct mif_add_region add = {.n_bytes = link_of(w, 1)->n_bytes};
		pthread_t thread;

		assert_int_equal(
			wr_memif_link_add_region(other, &add, link_of(w, 1)->regions[0].fd, NULL),
			0);
		s.region = other->regions[0];
		assert_int_equal(pthread_create(&thread, NULL, scribble, &s), 0);
		work_under(w);
		__atomic_store_n(&s.is_over, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		wr_memif_link_free(other);
		close_end(w, 1);
		open_end(w, 1, ",descs=256,buffer=512");
		await(w, 1, true);
		await(w, 0, true);
	}
	assert_int_equal(exchange_one(w, 0, 0), 1);
	assert_int_equal(exchange_one(w, 1, 0), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_bad_descriptor_is_one_packet_refused),
		TEST(an_endless_chain_is_one_packet_refused),
		TEST(a_chain_too_long_ends_where_it_ends),
		TEST(a_server_takes_the_chains_mark_off),
		TEST(discard_counts_packets_not_slots),
		TEST(a_buffer_that_is_none_is_given_back_empty),
		TEST(an_index_beyond_the_ring_ends_the_connection),
		TEST(one_who_scribbles_harms_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
