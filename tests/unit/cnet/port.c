/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Raw packet I/O over wires in memory. What AF_XDP, TAP and memif do is in their drivers' tests;
 * the program on real interfaces in tests/net/raw.sh.
 */
#include "cnet/port.c"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const wire[] = {"ring:x,descs=8", "ring:x"};

static struct weir_io *open_wire(void)
{
	struct weir_io *io = NULL;

	assert_int_equal(weir_io_open(wire, 2, NULL, &io, NULL), 0);
	return io;
}

/* Free + in flight = total; closes. */
static void close_balanced(struct weir_io *io)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < io->n_ports; i++)
		for (unsigned k = 0; k < io->ports[i].port->n_queues; k++) {
			struct port_queue *q = io->ports[i].port->queues[k];

			n += io->ports[i].queues[k].pool.n;
			n += q->port->ops->n_frames ? q->port->ops->n_frames(q) : 0;
		}
	assert_int_equal(n + wr_umem_audit(io->umem), io->umem->n_frames);
	weir_io_close(io);
}

static void what_one_sends_the_other_gets(void **state)
{
	struct weir_io *io = open_wire();
	struct weir_queue *a = weir_io_queue(io, 0, 0), *b = weir_io_queue(io, 1, 0);
	struct weir_packet *sent[2], *got[WEIR_BURST];
	static uint8_t big[9000], copy[sizeof(big)];
	struct weir_io_stats stats;

	(void)state;
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7);
	assert_int_equal(weir_packet_get(a, sent, 1), 1);
	assert_int_equal(weir_packet_headroom(a, sent[0]), WR_HEADROOM);
	assert_int_equal(weir_packet_room(a, sent[0]), 2048 - WR_HEADROOM);
	memset(sent[0]->data, 7, 60);
	sent[0]->len = sent[0]->seg_len = 60;
	sent[1] = weir_packet_from(a, big, sizeof(big));
	assert_int_equal(sent[1]->n_segs, 5);
	weir_tx(a, sent, 2);
	assert_int_equal(weir_rx(b, got, WEIR_BURST), 2);
	assert_int_equal(got[0]->len, 60);
	assert_int_equal(got[1]->len, sizeof(big));
	assert_int_equal(weir_packet_copy(got[1], copy, sizeof(copy)), sizeof(copy));
	assert_memory_equal(copy, big, sizeof(big));
	weir_packet_trim(b, got[1], 100);
	assert_int_equal(got[1]->n_segs, 1);
	assert_int_equal(got[1]->seg_len, 100);
	weir_packet_put(b, got, 2);
	assert_int_equal(weir_io_stats(io, 0, &stats), 0);
	assert_int_equal(stats.tx_packets, 2);
	assert_int_equal(stats.tx_bytes, 60 + sizeof(big));
	assert_int_equal(weir_io_stats(io, 1, &stats), 0);
	assert_int_equal(stats.rx_packets, 2);
	close_balanced(io);
}

static void a_full_port_takes_and_counts(void **state)
{
	struct weir_io *io = open_wire();
	struct weir_queue *a = weir_io_queue(io, 0, 0);
	struct weir_packet *sent[20];
	struct weir_io_stats stats;

	(void)state;
	assert_int_equal(weir_packet_get(a, sent, 20), 20);
	for (unsigned i = 0; i < 20; i++)
		sent[i]->len = sent[i]->seg_len = 60;
	assert_int_equal(weir_tx(a, sent, 20), 8);
	assert_int_equal(weir_io_stats(io, 0, &stats), 0);
	assert_int_equal(stats.tx_packets, 8);
	assert_int_equal(stats.tx_full, 12);
	assert_int_equal(weir_tx(a, NULL, 0), 0);
	close_balanced(io);
}

static void what_nobody_has_come_for_is_counted(void **state)
{
	static const char *const names[] = {"ring:x,descs=8"};
	struct weir_packet *sent[5];
	struct weir_io *io = NULL;
	struct weir_queue *q;

	(void)state;
	assert_int_equal(weir_io_open(names, 1, NULL, &io, NULL), 0);
	q = weir_io_queue(io, 0, 0);
	assert_int_equal(weir_packet_get(q, sent, 5), 5);
	assert_int_equal(weir_tx(q, sent, 5), 5);
	close_balanced(io);
}

/* A UDP packet whose checksum the sender left to others: field = sum of the pseudo-header. */
static struct weir_packet *unfinished(struct weir_queue *q)
{
	uint8_t bytes[14 + 20 + 8 + 5] = {[12] = 8, [14] = 0x45};
	struct ip4_hdr *ip = (struct ip4_hdr *)(bytes + 14);
	uint16_t sum;

	ip->total_len = be16_from(20 + 8 + 5);
	ip->ttl = 64;
	ip->protocol = IP_PROTO_UDP;
	ip->src = ip4_from(0x0a000001);
	ip->dst = ip4_from(0x0a000002);
	memcpy(bytes + 14 + 20 + 8, "hello", 5);
	sum = wr_l4_pseudo_sum(ip, 8 + 5);
	memcpy(bytes + 14 + 20 + 6, &sum, sizeof(sum));
	return weir_packet_from(q, bytes, sizeof(bytes));
}

static void a_checksum_left_to_hardware_is_finished(void **state)
{
	struct weir_io *io = open_wire();
	struct weir_queue *a = weir_io_queue(io, 0, 0), *b = weir_io_queue(io, 1, 0);
	struct weir_packet *pkt = unfinished(a), *got[1];
	const struct ip4_hdr *ip;
	uint16_t before, after;

	(void)state;
	/* What comes by a virtual port is recognised ... */
	b->q->port->flags |= PORT_VIRTUAL;
	weir_tx(a, &pkt, 1);
	assert_int_equal(weir_rx(b, got, 1), 1);
	assert_int_equal(got[0]->flags, WEIR_PACKET_CSUM_PARTIAL);
	memcpy(&before, got[0]->data + 40, 2);
	/* ... and finished when it leaves by one whose far end does not know. */
	weir_tx(b, got, 1);
	assert_int_equal(weir_rx(a, got, 1), 1);
	ip = (const struct ip4_hdr *)(got[0]->data + 14);
	memcpy(&after, got[0]->data + 40, 2);
	assert_int_not_equal(before, after);
	assert_int_equal(
		wr_csum_fold(wr_csum_add(0, got[0]->data + 34, 13) + wr_l4_pseudo_sum(ip, 13)),
		0xffff);
	weir_packet_put(a, got, 1);
	close_balanced(io);
}

static void waiting_ends_when_something_comes(void **state)
{
	struct weir_io *io = open_wire();
	struct weir_queue *a = weir_io_queue(io, 0, 0), *b = weir_io_queue(io, 1, 0);
	struct weir_packet *pkt, *got[1];

	(void)state;
	assert_int_equal(weir_wait(&b, 1, 1000000), 0);
	assert_int_equal(weir_packet_get(a, &pkt, 1), 1);
	pkt->len = pkt->seg_len = 60;
	weir_tx(a, &pkt, 1);
	assert_int_equal(weir_wait(&b, 1, -1), 1);
	assert_int_equal(weir_rx(b, got, 1), 1);
	weir_packet_put(b, got, 1);
	assert_int_equal(weir_wait(&b, 1, 0), 0);
	assert_int_equal(weir_wait(&b, 0, 0), -EINVAL);
	assert_int_equal(weir_wait(&b, WEIR_WAIT_QUEUES + 1, 0), -EINVAL);
	close_balanced(io);
}

/* However long one would wait; but beside a queue that may, one is waited for. */
static void what_can_never_have_anything_is_not_waited_for(void **state)
{
	static const char *const names[] = {"null:", "ring:x"};
	struct weir_queue *queues[2];
	struct weir_io *io = NULL;

	(void)state;
	assert_int_equal(weir_io_open(names, 2, NULL, &io, NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		queues[i] = weir_io_queue(io, i, 0);
	assert_int_equal(weir_wait(queues, 1, -1), -ENOTSUP);
	assert_int_equal(weir_wait(queues, 1, INT64_MAX), -ENOTSUP);
	assert_int_equal(weir_wait(queues, 1, 0), -ENOTSUP);
	assert_int_equal(weir_wait(queues, 2, 1000), 0);
	close_balanced(io);
}

static void note_signal(int number)
{
	(void)number;
}

static void a_signal_ends_the_wait(void **state)
{
	const struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
	const struct itimerval often = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000};
	const struct itimerval never = {.it_value.tv_usec = 0};
	struct weir_io *io = open_wire();
	struct weir_queue *b = weir_io_queue(io, 1, 0);

	(void)state;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	assert_int_equal(weir_wait(&b, 1, -1), -EINTR);
	setitimer(ITIMER_REAL, &never, NULL);
	close_balanced(io);
}

/* A TAP says only by its descriptor that it has something. */
static void no_time_to_wait_is_time_to_look(void **state)
{
	static const char *const names[] = {"tap:t0"};
	struct weir_io *io = NULL;
	struct weir_packet *got[WEIR_BURST];
	struct weir_queue *q;
	int n_ready = 0;

	(void)state;
	if (unshare(CLONE_NEWNET))
		skip();
	assert_int_equal(weir_io_open(names, 1, NULL, &io, NULL), 0);
	q = weir_io_queue(io, 0, 0);
	assert_int_equal(weir_wait(&q, 1, 0), 0);
	/* The kernel greets with IPv6 what comes up, if it has IPv6; with ARP in any case. */
	assert_int_equal(system("ip addr add 10.7.0.1/24 dev t0 && ip link set t0 up &&"
				"ip neigh add 10.7.0.2 lladdr 02:00:00:00:07:02 dev t0"),
			 0);
	assert_int_equal(system("ping -c 1 -W 1 10.7.0.2 >/dev/null || true"), 0);
	n_ready = weir_wait(&q, 1, 0);
	assert_int_equal(n_ready, 1);
	weir_packet_put(q, got, weir_rx(q, got, WEIR_BURST));
	assert_int_equal(system("ip link del t0"), 0);
	assert_int_equal(weir_rx(q, got, WEIR_BURST), 0);
	assert_int_equal(weir_wait(&q, 1, -1), -ENOTSUP);
	close_balanced(io);
}

static void a_memif_is_connected_once_both_are_there(void **state)
{
	char client[40], server[64], alone[64];
	const char *const names[] = {server, client, alone};
	struct weir_queue *queues[3];
	struct weir_io *io = NULL;

	(void)state;
	snprintf(client, sizeof(client), "memif:@weir-test-%d", getpid());
	snprintf(server, sizeof(server), "%s,role=server", client);
	snprintf(alone, sizeof(alone), "%s-none", client);
	assert_int_equal(weir_io_open(names, 3, NULL, &io, NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		queues[i] = weir_io_queue(io, i, 0);
	assert_int_equal(weir_io_is_connected(io, 0), 0);
	while (!weir_io_is_connected(io, 0) || !weir_io_is_connected(io, 1))
		assert_in_range(weir_wait(queues, 2, 1000000), 0, 2);
	assert_int_equal(weir_io_is_connected(io, 2), 0);
	close_balanced(io);
}

static void what_cannot_be_opened_is_a_sentence(void **state)
{
	static const struct {
		const char *names[2];
		int rc;
		const char *sentence;
	} cases[] = {
		{{"ring:x", "ring:y,descs=0"},
		 -EINVAL,
		 "ring:y,descs=0: descs is 0: use a number from 1 to 1048576"},
		{{"ring:x", "ring:y,dev=z"}, -EINVAL, "ring:y,dev=z: dev= is for weir-router only"},
		{{"ring:x", "nosuchif0"},
		 -ENODEV,
		 "nosuchif0: no such interface; 'ip link' lists those there are"},
		{{"ring:x", "bogus:y"}, -EINVAL, NULL},
	};
	struct weir_io *io = NULL;
	struct weir_error error;

	(void)state;
	for (size_t i = 0; i < wr_array_size(cases); i++) {
		assert_int_equal(weir_io_open(cases[i].names, 2, NULL, &io, &error), cases[i].rc);
		if (cases[i].sentence)
			assert_string_equal(error.text, cases[i].sentence);
		assert_null(io);
	}
	assert_int_equal(weir_io_open(wire, 0, NULL, &io, &error), -EINVAL);
	assert_string_equal(error.text, "0 ports: 1 to 64 are possible");
}

static unsigned n_queues_by(const char *name)
{
	struct weir_io *io = NULL;
	struct weir_error error;
	unsigned n;

	if (weir_io_open(&name, 1, NULL, &io, &error))
		fail_msg("%s", error.text);
	n = weir_io_n_queues(io, 0);
	weir_io_close(io);
	return n;
}

/* In a network namespace of its own. */
static void queues_of_an_interface_send_too(void **state)
{
	(void)state;
	if (geteuid() || unshare(CLONE_NEWNET))
		skip();
	assert_int_equal(system("ip link add xa numrxqueues 2 numtxqueues 2 type veth "
				"peer name xb numrxqueues 1 numtxqueues 1 && ip link set xa up"),
			 0);
	assert_int_equal(n_queues_by("af_xdp:xa"), 2);
	/* The kernel lets go of closed sockets a little later, and refuses until then. */
	assert_int_equal(system("for i in $(seq 100); do ethtool -L xa rx 2 tx 1 2>/dev/null && "
				"exit 0; sleep 0.05; done; exit 1"),
			 0);
	assert_int_equal(n_queues_by("af_xdp:xa"), 1);
	assert_int_equal(n_queues_by("af_xdp:xa,queues=2"), 2);
}

static void what_is_not_there_is_said(void **state)
{
	struct weir_io *io = open_wire();
	struct weir_io_stats stats;
	uint8_t mac[6];

	(void)state;
	assert_int_equal(weir_io_n_ports(io), 2);
	assert_int_equal(weir_io_n_queues(io, 1), 1);
	assert_int_equal(weir_io_n_queues(io, 2), 0);
	assert_null(weir_io_queue(io, 0, 1));
	assert_null(weir_io_queue(io, 2, 0));
	assert_int_equal(weir_io_stats(io, 2, &stats), -ENODEV);
	assert_int_equal(weir_io_is_connected(io, 2), -ENODEV);
	assert_int_equal(weir_io_is_connected(io, 1), 1);
	assert_int_equal(weir_io_mac(io, 2, mac), -ENODEV);
	assert_int_equal(weir_io_mac(io, 1, mac), 0);
	assert_memory_equal(mac, "\2weir\1", 6);
	assert_string_equal(weir_io_mode(io, 0), "memory");
	assert_string_equal(weir_io_mode(io, 2), "");
	close_balanced(io);
}

/* --- threads ---------------------------------------------------------------------------------- */

enum { N_THREADS = 2, N_PER_THREAD = 20000 };

static void *send_and_receive(void *arg)
{
	struct weir_queue **ends = arg; /* sends by the first, receives by the second */
	struct weir_packet *pkts[WEIR_BURST];
	unsigned n_sent = 0, n_received = 0;

	while (n_received < N_PER_THREAD) {
		unsigned n = N_PER_THREAD - n_sent < 64 ? N_PER_THREAD - n_sent : 64;

		n = weir_packet_get(ends[0], pkts, n);
		for (unsigned i = 0; i < n; i++)
			pkts[i]->len = pkts[i]->seg_len = 60;
		n_sent += weir_tx(ends[0], pkts, n);
		n = weir_rx(ends[1], pkts, WEIR_BURST);
		weir_packet_put(ends[1], pkts, n);
		n_received += n;
	}
	return NULL;
}

/* Each thread sends by its queue of one end, to itself: the frames go round by the depot. What a
 * full ring refuses is sent again. */
static void more_than_one_thread(void **state)
{
	static const char *const names[] = {"ring:x,queues=2,descs=128", "ring:x"};
	struct weir_queue *ends[N_THREADS][2];
	pthread_t threads[N_THREADS];
	struct weir_io_stats stats;
	struct weir_io *io = NULL;

	(void)state;
	assert_int_equal(weir_io_open(names, 2, NULL, &io, NULL), 0);
	for (unsigned i = 0; i < N_THREADS; i++) {
		ends[i][0] = weir_io_queue(io, 0, i);
		ends[i][1] = weir_io_queue(io, 1, i);
		assert_int_equal(pthread_create(&threads[i], NULL, send_and_receive, ends[i]), 0);
	}
	assert_int_equal(weir_io_stats(io, 1, &stats), 0); /* any thread may */
	for (unsigned i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(weir_io_stats(io, 1, &stats), 0);
	assert_int_equal(stats.rx_packets, N_THREADS * N_PER_THREAD);
	close_balanced(io);
}

/* --- opening ---------------------------------------------------------------------------------- */

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* A queue that nobody uses would be taken for one that somebody does. */
static void heartbeats_are_not_shared(void **state)
{
	static const char *const names[] = {"v0,descs=64", "v1,descs=64"};
	struct weir_io *io = NULL;
	struct weir_error error;

	(void)state;
	if (unshare(CLONE_NEWNET))
		skip();
	assert_int_equal(system("ip link add v0 numrxqueues 33 numtxqueues 33 type veth "
				"peer name v1 numrxqueues 33 numtxqueues 33"),
			 0);
	assert_int_equal(system("ethtool -L v0 rx 33 tx 33 && ethtool -L v1 rx 33 tx 33"), 0);
	assert_int_equal(weir_io_open(names, 2, NULL, &io, &error), -E2BIG);
	assert_string_equal(error.text, "v1: with it there are 66 af_xdp queues: 64 are possible, "
					"use queues=");
	assert_int_equal(system("ip -o -d link show | grep -q xdp") != 0, 1);
}

/* The last of the ports cannot be had, for one reason or another: those before it are given back.
 * Leaks are for AddressSanitizer to find. */
static void a_failure_half_way_leaves_nothing(void **state)
{
	static const char *const last[] = {
		"v1",                 /* taken already */
		"af_xdp:v0,queues=5", /* has fewer */
		"tap:v0",             /* no TAP */
		"tap:t1,queues=65",
		"tun:t1",
		"pcap:/nonexistent/file",
		"memif:/nonexistent/dir/m.sock,role=server",
		"ring:x,descs=7", /* the other end has more */
		"v0,mode=native,dev=y",
	};
	struct weir_error error;
	struct weir_io *io = NULL;
	unsigned n_fds;

	(void)state;
	if (unshare(CLONE_NEWNET))
		skip();
	assert_int_equal(system("ip link add v0 type veth peer name v1"), 0);
	n_fds = count_fds();
	for (unsigned i = 0; i < wr_array_size(last); i++) {
		const char *const names[] = {"v1,descs=64", "tap:t1", "ring:x,descs=8", last[i]};

		*error.text = '\0';
		if (!weir_io_open(names, 4, NULL, &io, &error))
			fail_msg("%s was opened", last[i]);
		if (!*error.text)
			fail_msg("%s: no sentence", last[i]);
		assert_null(io);
		assert_int_equal(count_fds(), n_fds);
		assert_int_not_equal(system("ip -o -d link show | grep -qE 'xdp|tun type'"), 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		TEST(what_one_sends_the_other_gets),
		TEST(a_full_port_takes_and_counts),
		TEST(what_nobody_has_come_for_is_counted),
		TEST(a_checksum_left_to_hardware_is_finished),
		TEST(waiting_ends_when_something_comes),
		TEST(a_memif_is_connected_once_both_are_there),
		TEST(what_can_never_have_anything_is_not_waited_for),
		TEST(a_signal_ends_the_wait),
		TEST(no_time_to_wait_is_time_to_look),
		TEST(more_than_one_thread),
		TEST(heartbeats_are_not_shared),
		TEST(a_failure_half_way_leaves_nothing),
		TEST(what_cannot_be_opened_is_a_sentence),
		TEST(what_is_not_there_is_said),
		TEST(queues_of_an_interface_send_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
