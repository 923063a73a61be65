/* SPDX-License-Identifier: BSD-3-Clause */
/* A queue at work, against the kernel: see af_xdp_fixture.h for the wire. */
#include <errno.h>
#include <sys/socket.h>

/* The kick, so that a test can have the kernel refuse it. */
static int kick_errno; /* 0: ask the kernel */

static ssize_t kick_or_fail(int fd, const void *buf, size_t n, int flags,
			    const struct sockaddr *addr, socklen_t len)
{
	if (!kick_errno)
		return sendto(fd, buf, n, flags, addr, len);
	errno = kick_errno;
	return -1;
}
static unsigned n_drives; /* calls that have the driver work */

static ssize_t drive_and_count(int fd, void *buf, size_t n, int flags, struct sockaddr *addr,
			       socklen_t *len)
{
	n_drives++;
	return recvfrom(fd, buf, n, flags, addr, len);
}
#define sendto kick_or_fail
#define recvfrom drive_and_count
#include "lib/port/af_xdp.c"
#undef sendto
#undef recvfrom

#include "tests/unit/lib/port/af_xdp_fixture.h"

/* --- traffic ---------------------------------------------------------------------------------- */

static void every_size_both_ways(void **state)
{
	static const size_t sizes[] = {60, 1514, 1792, 1793, 2048, 2049, 4096, 9014};
	struct fixture *f = *state;
	uint64_t n_bytes = 0;

	assert_false(f->port->flags & PORT_ONE_BUFFER);
	assert_int_equal(f->port->max_frame_bytes,
			 WR_MAX_SEGS *
				 (2048 - (f->port->flags & PORT_TX_CSUM ? PORT_TX_HEADROOM : 0)));
	assert_true(wr_port_af_xdp_max_bytes(f->port) > 9000);
	assert_true(f->port->flags & PORT_VIRTUAL);
	for (uint32_t i = 0; i < wr_array_size(sizes); i++) {
		peer_send(f, i, sizes[i]);
		expect_here(f, f->q, i, sizes[i]);
		queue_packets(f, f->q, 100 + i, 1, sizes[i]);
		f->port->ops->flush(f->q);
		expect_at_peer(f, 100 + i, sizes[i]);
		n_bytes += sizes[i];
	}
	assert_int_equal(f->q->counters.rx_pkts, wr_array_size(sizes));
	assert_int_equal(f->q->counters.rx_bytes, n_bytes);
	assert_int_equal(f->q->counters.tx_pkts, wr_array_size(sizes));
	assert_int_equal(f->q->counters.tx_bytes, n_bytes);
	assert_int_equal(fact(f->port, "rx_dropped"), 0);
	assert_int_equal(fact(f->port, "tx_invalid_descs"), 0);
}

static void native_mode(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(f->port->mode, "native copy");
	every_size_both_ways(state);
}

static void generic_mode(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(f->port->mode, "generic copy");
	every_size_both_ways(state);
}

static void one_flush_sends_a_whole_burst(void **state)
{
	struct fixture *f = *state;

	queue_packets(f, f->q, 0, WR_BURST, 60);
	assert_int_equal(f->q->counters.tx_kicks, 0);
	f->port->ops->flush(f->q);
	for (uint32_t i = 0; i < WR_BURST; i++)
		expect_at_peer(f, i, 60);
	assert_int_equal(n_untaken(xdp_queue(f->q)), 0);
	assert_in_range(f->q->counters.tx_kicks, 1, WR_BURST / 32 + 1);
}

static void a_burst_of_jumbos(void **state)
{
	struct fixture *f = *state;

	queue_packets(f, f->q, 0, 80, MAX_BYTES);
	f->port->ops->flush(f->q);
	for (uint32_t i = 0; i < 80; i++)
		expect_at_peer(f, i, MAX_BYTES);
}

static void small_bursts_cut_no_chain(void **state)
{
	struct fixture *f = *state;
	static struct packet *pkts[40];

	for (uint32_t i = 0; i < 40; i++)
		peer_send(f, i, i % 2 ? MAX_BYTES : 60);
	receive(f->q, pkts, 3);
	receive(f->q, pkts + 3, 37);
	for (uint32_t i = 0; i < 40; i++) {
		uint8_t head[18];

		assert_int_equal(pkts[i]->len, i % 2 ? MAX_BYTES : 60);
		wr_packet_copy_out(pkts[i], head, sizeof(head));
		assert_int_equal(frame_number(head), i);
		wr_packet_free(&f->pool, pkts[i]);
	}
}

static void many_times_round_the_rings(void **state)
{
	struct fixture *f = *state;
	static struct packet *pkts[100];

	for (uint32_t round = 0; round < 50; round++) {
		for (uint32_t i = 0; i < 100; i++)
			peer_send(f, round * 100 + i, 200);
		receive(f->q, pkts, 100);
		wr_port_tx(f->q, pkts, 100);
		f->port->ops->flush(f->q);
		assert_int_equal(count_at_peer(f, 100), 100);
		assert_true(is_whole(f));
	}
	assert_int_equal(f->q->counters.tx_pkts, 5000);
	assert_int_equal(f->q->counters.tx_full + f->q->counters.tx_errors, 0);
}

static void a_full_ring_is_counted(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xa");

	conf.tx_descs = 64;
	open_port(f, &conf);
	attach(f, false);
	queue_packets(f, f->q, 0, 200, 60); /* 64 fit, one kick makes room for 64 more */
	assert_int_equal(f->q->counters.tx_pkts, 128);
	assert_int_equal(f->q->counters.tx_full, 72);
	f->port->ops->flush(f->q);
	assert_int_equal(count_at_peer(f, 128), 128);
	queue_packets(f, f->q, 0, 1, 60);
	f->port->ops->flush(f->q);
	assert_int_equal(count_at_peer(f, 1), 1);
}

static void packets_that_cannot_be_sent(void **state)
{
	struct fixture *f = *state;
	struct packet *pkt;

	assert_int_equal(wr_pool_get(&f->pool, &pkt, 1), 1); /* of no bytes */
	wr_port_tx(f->q, &pkt, 1);
	pkt = wr_packet_from(&f->pool, make_frame(0, 60), 60);
	pkt->n_segs = WR_MAX_SEGS + 1;
	wr_port_tx(f->q, &pkt, 1);
	f->port->ops->flush(f->q);
	assert_int_equal(f->q->counters.tx_errors, 2);
	assert_int_equal(f->q->counters.tx_pkts, 2);
	assert_int_equal(fact(f->port, "tx_invalid_descs"), 0);
}

static void stale_packets_are_thrown_away(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 20; i++)
		peer_send(f, i, i % 2 ? MAX_BYTES : 60);
	f->port->ops->discard(f->q);
	assert_int_equal(f->q->counters.rx_stale, 20);
	assert_int_equal(f->q->counters.rx_pkts, 0);
	peer_send(f, 99, 60);
	expect_here(f, f->q, 99, 60);
}

static void an_exhausted_pool_is_counted_and_recovers(void **state)
{
	struct fixture *f = *state;
	static struct packet *hoard[N_FRAMES];
	unsigned n_hoard, n_had = 0;
	struct packet *pkts[64];

	n_hoard = wr_pool_get(&f->pool, hoard, N_FRAMES);
	for (uint32_t i = 0; i < N_DESCS + 50; i++)
		peer_send(f, i, 60);
	/* The kernel drops the 50; what was received is kept, so nothing can be refilled. */
	while (n_had < N_DESCS) {
		unsigned n = wr_port_rx(f->q, pkts, 64);

		assert_true(n);
		for (unsigned i = 0; i < n; i++)
			hoard[n_hoard++] = pkts[i];
		n_had += n;
	}
	f->port->ops->flush(f->q);
	f->port->ops->flush(f->q);
	assert_int_equal(f->q->counters.rx_no_frames, N_DESCS); /* each slot once */
	for (unsigned i = 0; i < 100; i++)
		wr_packet_free(&f->pool, hoard[--n_hoard]);
	f->port->ops->flush(f->q);
	assert_int_equal(f->q->counters.rx_no_frames, N_DESCS); /* fewer are short: none is new */
	while (n_hoard)
		wr_packet_free(&f->pool, hoard[--n_hoard]);
	f->port->ops->flush(f->q);
	peer_send(f, 7777, 60);
	expect_here(f, f->q, 7777, 60);
}

static void two_queues_of_one_port(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xa");

	conf.n_queues = 2;
	open_port(f, &conf);
	attach(f, false);
	for (uint32_t i = 0; i < 2; i++) {
		queue_packets(f, f->port->queues[i], 10 + i, 1, MAX_BYTES);
		f->port->ops->flush(f->port->queues[i]);
		expect_at_peer(f, 10 + i, MAX_BYTES);
		assert_int_equal(f->port->queues[i]->counters.tx_errors, 0);
	}
}

/* Whatever the kernel says, a flush ends, and what it did not take goes with a later one. */
static void a_kernel_that_takes_nothing(void **state)
{
	static const struct {
		int code;
		unsigned n_kicks;
	} cases[] = {
		{EAGAIN, MAX_FUTILE_KICKS}, {EINTR, MAX_FUTILE_KICKS}, {ENOBUFS, 1}, {ENOMEM, 1}};
	struct fixture *f = *state;

	for (unsigned i = 0; i < wr_array_size(cases); i++) {
		uint64_t n_kicks = f->q->counters.tx_kicks;

		kick_errno = cases[i].code;
		queue_packets(f, f->q, 0, 10, 60);
		f->port->ops->flush(f->q);
		assert_int_equal(f->q->counters.tx_kicks - n_kicks, cases[i].n_kicks);
		assert_true(f->port->ops->arm(f->q));
		for (unsigned k = 1; k < MAX_FUTILE_FLUSHES; k++)
			f->port->ops->flush(f->q);
		assert_false(f->port->ops->arm(f->q)); /* enough: let the worker sleep */
		kick_errno = 0;
		f->port->ops->flush(f->q); /* with nothing new */
		assert_int_equal(count_at_peer(f, 10), 10);
	}
	assert_int_equal(f->q->counters.tx_errors + f->q->counters.tx_full, 0);
}

static int socket_option(const struct port *port, unsigned queue_idx, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(
		getsockopt(wr_port_af_xdp_fd(port, queue_idx), SOL_SOCKET, option, &value, &len),
		0);
	return value;
}

static void busy_polling_is_asked_for(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xa");
	struct packet *pkt;

	conf.n_queues = 2;
	conf.busy_poll_us = 35;
	conf.busy_poll_budget = 48;
	open_port(f, &conf);
	attach(f, false);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(socket_option(f->port, i, SO_PREFER_BUSY_POLL), 1);
		assert_int_equal(socket_option(f->port, i, SO_BUSY_POLL), 35);
	}
	assert_int_equal(fact(f->port, "busy_poll"), 1);
	n_drives = 0;
	assert_int_equal(wr_port_rx(f->q, &pkt, 1), 0);
	assert_int_equal(n_drives, 1);
	peer_send(f, 4, 60);
	expect_here(f, f->q, 4, 60);
}

static void without_busy_polling_an_empty_ring_costs_no_call(void **state)
{
	struct fixture *f = *state;
	struct packet *pkt;

	assert_int_equal(fact(f->port, "busy_poll"), 0);
	assert_int_equal(socket_option(f->port, 0, SO_PREFER_BUSY_POLL), 0);
	n_drives = 0;
	assert_int_equal(wr_port_rx(f->q, &pkt, 1), 0);
	assert_int_equal(n_drives, 0);
}

/* What one port receives another sends, without a copy. */
static void ports_share_the_memory(void **state)
{
	struct fixture *f = *state;
	static struct fixture other;
	struct af_xdp_conf conf;
	struct packet *pkts[10], *kept[10];

	other.umem = f->umem;
	run("ip link add ya mtu 9000 type veth peer name yb mtu 9000");
	run("ip link set ya up && ip link set yb up");
	other.peer_fd = open_peer("yb");
	conf = conf_of("ya");
	wr_pool_init(&other.pool, f->umem);
	open_port(&other, &conf);
	for (uint32_t i = 0; i < 10; i++)
		peer_send(f, i, MAX_BYTES);
	receive(f->q, pkts, 10);
	memcpy(kept, pkts, sizeof(kept));
	wr_port_tx(other.q, pkts, 10);
	other.port->ops->flush(other.q);
	for (uint32_t i = 0; i < 10; i++)
		expect_at_peer(&other, i, MAX_BYTES);
	/* The first port goes; the second lives on, and the first can come back. */
	f->port->ops->close(f->port);
	queue_packets(&other, other.q, 5, 1, 60);
	other.port->ops->flush(other.q);
	expect_at_peer(&other, 5, 60);
	conf = conf_of("xa");
	open_port(f, &conf);
	peer_send(f, 6, 60);
	expect_here(f, f->q, 6, 60);
	other.port->ops->close(other.port);
	wr_pool_fini(&other.pool);
	close(other.peer_fd);
	run("ip link del ya");
}

/* --- interfaces that go away ------------------------------------------------------------------ */

static void send_rounds(struct fixture *f, unsigned n_rounds)
{
	for (unsigned i = 0; i < n_rounds; i++) {
		queue_packets(f, f->q, i, 50, 60);
		f->port->ops->flush(f->q);
		assert_true(is_whole(f));
	}
}

static void down_and_up_under_traffic(void **state)
{
	struct fixture *f = *state;
	uint64_t n_errors, n_kicks;

	send_rounds(f, 10);
	run("ip link set xb down"); /* no carrier: each kick loses one packet */
	send_rounds(f, 40);
	n_errors = f->q->counters.tx_errors;
	assert_true(n_errors > 0);
	assert_true(f->q->counters.tx_full > 0);
	run("ip link set xa down");
	n_kicks = f->q->counters.tx_kicks;
	send_rounds(f, 40);
	assert_true(f->q->counters.tx_errors >= n_errors + 39 * 50);
	assert_in_range(f->q->counters.tx_kicks - n_kicks, 1, 3 * 40);
	assert_false(f->port->ops->arm(f->q)); /* nothing to stay awake for */
	run("ip link set xb up && ip link set xa up");
	f->port->ops->flush(f->q); /* sends what was left */
	f->port->ops->flush(f->q);
	assert_int_equal(n_untaken(xdp_queue(f->q)), 0);
	n_errors = f->q->counters.tx_errors;
	send_rounds(f, 10);
	assert_int_equal(f->q->counters.tx_errors, n_errors);
}

/* In copy mode poll() sends too: it may empty the ring of a port that came up again, and then
 * nothing but the next packet asks how things are. */
static void up_again_with_a_ring_that_poll_emptied(void **state)
{
	struct fixture *f = *state;
	struct pollfd fd = {.fd = f->port->ops->fd(f->q), .events = POLLIN};

	run("ip link set xa down");
	send_rounds(f, 1);
	assert_true(xdp_queue(f->q)->is_down);
	run("ip link set xa up");
	while (n_untaken(xdp_queue(f->q)))
		(void)poll(&fd, 1, 0);
	(void)count_at_peer(f, 50);
	queue_packets(f, f->q, 7, 1, 60);
	f->port->ops->flush(f->q);
	assert_int_equal(count_at_peer(f, 1), 1);
}

static void deleted_under_traffic(void **state)
{
	struct fixture *f = *state;
	uint64_t n_kicks;

	for (uint32_t i = 0; i < 30; i++)
		peer_send(f, i, MAX_BYTES);
	queue_packets(f, f->q, 0, 50, 60);
	run("ip link del xa");
	f->port->ops->flush(f->q);
	assert_int_equal(f->q->counters.tx_errors, 50);
	n_kicks = f->q->counters.tx_kicks;
	send_rounds(f, 20);
	assert_int_equal(f->q->counters.tx_errors, 50 + 20 * 50);
	assert_int_equal(f->q->counters.tx_kicks, n_kicks);
	assert_true(fact(f->port, "rx_dropped") != UINT64_MAX);
}

static void closed_with_everything_in_flight(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 100; i++)
		peer_send(f, i, i % 2 ? MAX_BYTES : 60);
	queue_packets(f, f->q, 0, WR_BURST, 60);
	assert_true(n_held(f->port) >= N_DESCS + WR_BURST);
	f->port->ops->close(f->port);
	f->port = NULL;
	assert_int_equal(count_at_peer(f, WR_BURST), WR_BURST); /* close sends what was queued */
}

/* No frame is shorter than its header. What the kernel would do with one depends on the kernel and
 * the driver. */
static void less_than_a_header_is_refused(void **state)
{
	struct fixture *f = *state;

	for (uint32_t n = 1; n < ETH_HDR_BYTES; n++)
		queue_packets(f, f->q, n, 1, n);
	f->port->ops->flush(f->q);
	assert_int_equal(f->q->counters.tx_errors, ETH_HDR_BYTES - 1);
	assert_int_equal(f->q->counters.tx_pkts, ETH_HDR_BYTES - 1);
	queue_packets(f, f->q, 99, 1, 60);
	f->port->ops->flush(f->q);
	expect_at_peer(f, 99, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(native_mode, setup),
		TEST(generic_mode, setup_generic),
		TEST(one_flush_sends_a_whole_burst, setup),
		TEST(one_flush_sends_a_whole_burst, setup_generic),
		TEST(a_burst_of_jumbos, setup),
		TEST(small_bursts_cut_no_chain, setup),
		TEST(many_times_round_the_rings, setup),
		TEST(many_times_round_the_rings, setup_generic),
		TEST(a_full_ring_is_counted, setup_closed),
		TEST(packets_that_cannot_be_sent, setup),
		TEST(stale_packets_are_thrown_away, setup),
		TEST(an_exhausted_pool_is_counted_and_recovers, setup),
		TEST(two_queues_of_one_port, setup_closed),
		TEST(a_kernel_that_takes_nothing, setup),
		TEST(busy_polling_is_asked_for, setup_closed),
		TEST(less_than_a_header_is_refused, setup),
		TEST(without_busy_polling_an_empty_ring_costs_no_call, setup),
		TEST(ports_share_the_memory, setup),
		TEST(down_and_up_under_traffic, setup),
		TEST(down_and_up_under_traffic, setup_generic),
		TEST(up_again_with_a_ring_that_poll_emptied, setup),
		TEST(deleted_under_traffic, setup),
		TEST(closed_with_everything_in_flight, setup),
	};
	int rc = enter_namespace();

	return rc ? rc : cmocka_run_group_tests(tests, NULL, NULL);
}
