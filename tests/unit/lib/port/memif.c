/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/port/memif.c"

#include "tests/unit/lib/port/memif_world.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { N_DESCS = 64 };

static void each_size_goes_both_ways(void **state)
{
	static const size_t sizes[] = {14,   60,   1514, 2047,  2048,
				       2049, 4096, 9014, 16385, WR_MAX_SEGS * 2048};
	struct world *w = *state;

	open_pair(w, ",role=server", ",descs=1024,buffer=2048");
	assert_int_equal(w->ends[0]->max_frame_bytes, WR_MAX_SEGS * 2048);
	for (unsigned i = 0; i < wr_array_size(sizes); i++) {
		for (unsigned k = 0; k < 50; k++) {
			send_one(queue_of(w, 0, 0), k, sizes[i]);
			send_one(queue_of(w, 1, 0), k, sizes[i]);
		}
		assert_int_equal(receive(queue_of(w, 1, 0), 0, sizes[i]), 0); /* no flush yet */
		flush(queue_of(w, 0, 0));
		flush(queue_of(w, 1, 0));
		assert_int_equal(receive(queue_of(w, 1, 0), 0, sizes[i]), 50);
		assert_int_equal(receive(queue_of(w, 0, 0), 0, sizes[i]), 50);
	}
	for (unsigned end = 0; end < 2; end++) {
		struct port_counters c;

		wr_port_counters(w->ends[end], &c);
		assert_int_equal(c.tx_pkts, 50 * wr_array_size(sizes));
		assert_int_equal(c.rx_pkts, c.tx_pkts);
		assert_int_equal(c.rx_bytes, c.tx_bytes);
		assert_int_equal(c.tx_full + c.tx_errors + c.rx_bad + c.rx_no_frames, 0);
	}
}

/* No frame is shorter than its header, and a peer need not expect one. */
static void less_than_a_header_is_refused(void **state)
{
	struct world *w = *state;
	struct packet *pkts[14];

	open_pair(w, ",role=server", "");
	assert_int_equal(wr_pool_get(&w->pools[1][0], pkts, 14), 14);
	for (unsigned n = 0; n < 14; n++)
		wr_packet_init(pkts[n], pkts[n]->data, (uint16_t)n);
	wr_port_tx(queue_of(w, 1, 0), pkts, 14);
	assert_int_equal(queue_of(w, 1, 0)->counters.tx_errors, 14);
	send_one(queue_of(w, 1, 0), 7, 60);
	flush(queue_of(w, 1, 0));
	assert_int_equal(receive(queue_of(w, 0, 0), 7, 60), 1);
	assert_int_equal(queue_of(w, 0, 0)->counters.rx_bad, 0);
}

/* Sizes mixed, so that a slot is now in the middle of a chain and now a packet by itself. */
static void slots_forget_what_they_were(void **state)
{
	struct world *w = *state;

	open_pair(w, ",role=server", ",descs=16,buffer=512");
	for (unsigned i = 0; i < 500; i++) {
		const size_t len = i % 3 == 1 ? 3000 : 60;

		for (unsigned end = 0; end < 2; end++) {
			send_one(queue_of(w, end, 0), i, len);
			flush(queue_of(w, end, 0));
			assert_int_equal(receive(queue_of(w, !end, 0), i, len), 1);
		}
	}
}

static void a_full_ring_drops_and_counts(void **state)
{
	struct world *w = *state;

	open_pair(w, ",role=server", ",descs=64");
	for (unsigned end = 0; end < 2; end++) {
		struct port_queue *q = queue_of(w, end, 0);

		for (unsigned i = 0; i < N_DESCS - 1; i++)
			send_one(q, i, 60);
		send_one(q, 0, 4000); /* two slots, and there is one */
		assert_int_equal(q->counters.tx_full, 1);
		for (unsigned i = N_DESCS - 1; i < N_DESCS + 17; i++)
			send_one(q, i, 60);
		assert_int_equal(q->counters.tx_full, 18);
		assert_int_equal(q->counters.tx_pkts, N_DESCS);
		flush(q);
		assert_int_equal(receive(queue_of(w, !end, 0), 0, 60), N_DESCS);
		for (unsigned i = 0; i < N_DESCS; i++)
			send_one(q, i, 60);
		assert_int_equal(q->counters.tx_full, 18);
		flush(q);
		assert_int_equal(receive(queue_of(w, !end, 0), 0, 60), N_DESCS);
	}
}

static void without_frames_packets_wait_in_the_ring(void **state)
{
	struct world *w = *state;
	struct port_queue *q;
	struct packet **all = calloc(N_FRAMES, sizeof(void *));
	struct packet *pkt;
	unsigned n;

	assert_non_null(all);
	open_pair(w, ",role=server", "");
	q = queue_of(w, 0, 0);
	send_one(queue_of(w, 1, 0), 0, 5000);
	send_one(queue_of(w, 1, 0), 1, 5000);
	flush(queue_of(w, 1, 0));
	wr_pool_fini(&w->pools[1][0]); /* what this one hoards */
	n = wr_pool_get(q->pool, all, N_FRAMES);
	assert_int_equal(n, N_FRAMES);
	wr_pool_put_frame(q->pool, all[--n]); /* one, where three are needed */
	assert_int_equal(wr_port_rx(q, &pkt, 1), 0);
	assert_int_equal(q->counters.rx_no_frames, 1);
	while (n)
		wr_pool_put_frame(q->pool, all[--n]);
	assert_int_equal(receive(q, 0, 5000), 2);
	free(all);
}

static void unconnected_it_frees_and_counts(void **state)
{
	struct world *w = *state;
	struct port_queue *q;
	struct packet *pkt;

	open_end(w, 0, ",role=server");
	q = queue_of(w, 0, 0);
	send_one(q, 0, 9000);
	flush(q);
	assert_int_equal(q->counters.tx_pkts, 1);
	assert_int_equal(q->counters.tx_bytes, 9000);
	assert_int_equal(q->counters.tx_errors, 1);
	assert_int_equal(wr_port_rx(q, &pkt, 1), 0);
	assert_false(q->port->ops->arm(q));
}

/* Which of the two goes and comes back. */
static void goes_and_comes_back(struct world *w, unsigned who, const char *options)
{
	open_pair(w, ",role=server,id=7", ",id=7");
	for (unsigned round = 1; round <= 3; round++) {
		struct port_queue *stays = queue_of(w, !who, 0);

		send_one(stays, 0, 60);
		flush(stays);
		assert_int_equal(receive(queue_of(w, who, 0), 0, 60), 1);
		send_one(stays, 1, 60); /* counted as sent, never told to the peer */
		close_end(w, who);
		await(w, !who, false);
		assert_int_equal(stays->counters.tx_errors, round);
		open_end(w, who, options);
		await(w, !who, true);
		await(w, who, true);
		assert_int_equal(fact_of(w->ends[!who], "n_connects"), round + 1);
	}
}

static void the_server_goes_and_comes_back(void **state)
{
	goes_and_comes_back(*state, 0, ",role=server,id=7");
}

static void the_client_goes_and_comes_back(void **state)
{
	goes_and_comes_back(*state, 1, ",id=7");
}

static void an_abstract_socket_will_do(void **state)
{
	struct world *w = *state;

	snprintf(w->socket, sizeof(w->socket), "@%s", strrchr(w->dir, '/') + 1);
	open_pair(w, ",role=server", "");
	send_one(queue_of(w, 1, 0), 0, 60);
	flush(queue_of(w, 1, 0));
	assert_int_equal(receive(queue_of(w, 0, 0), 0, 60), 1);
	assert_int_equal(try_open(w, 2, ",role=server", NULL), -EADDRINUSE);
}

static void the_facts_are_told(void **state)
{
	struct world *w = *state;

	open_end(w, 0, ",role=server,id=4000000000,queues=2");
	assert_int_equal(fact_of(w->ends[0], "connected"), 0);
	open_end(w, 1, ",id=4000000000,queues=2,descs=64,buffer=1024");
	await(w, 0, true);
	await(w, 1, true);
	assert_string_equal(w->ends[0]->mode, "memif server");
	assert_string_equal(w->ends[1]->mode, "memif client");
	assert_string_equal(w->ends[0]->name, "m.sock#4000000000");
	assert_int_equal(fact_of(w->ends[0], "is_server"), 1);
	assert_int_equal(fact_of(w->ends[1], "is_server"), 0);
	assert_int_equal(fact_of(w->ends[0], "id"), 4000000000);
	assert_true(fact_of(w->ends[0], "region_bytes") >= 4 * 64 * 1024);
	assert_int_equal(fact_of(w->ends[0], "region_bytes"), fact_of(w->ends[1], "region_bytes"));
}

static void the_fewer_queues_decide(void **state)
{
	struct world *w = *state;

	open_pair(w, ",role=server,queues=2", ",queues=1");
	send_one(queue_of(w, 0, 0), 0, 60);
	flush(queue_of(w, 0, 0));
	assert_int_equal(receive(queue_of(w, 1, 0), 0, 60), 1);
	send_one(queue_of(w, 0, 1), 0, 60);
	assert_int_equal(queue_of(w, 0, 1)->counters.tx_errors, 1);
}

static void a_small_client_goes_by_its_own_sizes(void **state)
{
	struct world *w = *state;

	open_pair(w, ",role=server,descs=4096,buffer=16384", ",descs=16,buffer=128");
	assert_int_equal(w->ends[1]->max_frame_bytes, 16 * 128);
	for (unsigned end = 0; end < 2; end++) {
		send_one(queue_of(w, end, 0), 0, 16 * 128);
		send_one(queue_of(w, end, 0), 1, 16 * 128 + 1);
		flush(queue_of(w, end, 0));
		assert_int_equal(queue_of(w, end, 0)->counters.tx_full, 1);
		assert_int_equal(receive(queue_of(w, !end, 0), 0, 16 * 128), 1);
	}
}

/* --- sleeping --------------------------------------------------------------------------------- */

/* Nothing wakes it but the one look after it has begun to sleep, and after that nothing at all. */
static void fall_asleep(struct port_queue *q)
{
	struct packet *pkt;

	while (!q->port->ops->arm(q) && is_readable(q, 50))
		assert_int_equal(wr_port_rx(q, &pkt, 1), 0);
}

static void only_a_sleeper_is_woken(void **state)
{
	struct world *w = *state;

	open_pair(w, ",role=server", "");
	for (unsigned end = 0; end < 2; end++) {
		struct port_queue *from = queue_of(w, end, 0), *to = queue_of(w, !end, 0);

		send_one(from, 0, 60);
		flush(from);
		assert_int_equal(receive(to, 0, 60), 1);
		from->counters.tx_kicks = 0;
		send_one(from, 0, 60);
		flush(from);
		assert_int_equal(from->counters.tx_kicks, 0); /* it polls */
		assert_true(to->port->ops->arm(to));          /* it came meanwhile */
		assert_int_equal(receive(to, 0, 60), 1);
		fall_asleep(to);
		assert_false(is_readable(to, 0));
		send_one(from, 1, 60);
		send_one(from, 2, 60);
		flush(from);
		flush(from);
		assert_int_equal(from->counters.tx_kicks, 1);
		assert_true(is_readable(to, 0));
		assert_int_equal(receive(to, 1, 60), 2);
		fall_asleep(to);
		assert_false(is_readable(to, 0));
	}
}

/* DPDK looks at the mask before its index is visible: a packet that comes without an interrupt just
 * after the sleeper has looked is found all the same. */
static void one_more_look_finds_what_was_not_announced(void **state)
{
	struct world *w = *state;
	struct port_queue *from, *to;
	struct memif_queue *mq;

	open_pair(w, ",role=server", "");
	from = queue_of(w, 0, 0), to = queue_of(w, 1, 0);
	send_one(from, 0, 60);
	flush(from);
	assert_int_equal(receive(to, 0, 60), 1);
	assert_false(to->port->ops->arm(to));
	send_one(from, 1, 60);
	mq = wr_memif_queue(from);
	__atomic_store_n(mq->link->tx[0].own, mq->tx_next, __ATOMIC_SEQ_CST);
	mq->tx_public = mq->tx_next;
	assert_true(is_readable(to, PATIENCE_MS));
	assert_int_equal(receive(to, 1, 60), 1);
}

struct stream {
	struct port_queue *q;
	unsigned n;
};

static void *send_stream(void *arg)
{
	struct stream *s = arg;

	for (unsigned sent = 0; sent < s->n;) {
		uint64_t n_full = s->q->counters.tx_full;

		send_one(s->q, sent, 60);
		flush(s->q);
		if (s->q->counters.tx_full == n_full)
			sent++;
		else
			poll(NULL, 0, 1);
	}
	return NULL;
}

static void a_sleeping_receiver_misses_nothing(void **state)
{
	struct world *w = *state;

	open_pair(w, ",role=server,queues=2", ",queues=2");
	for (unsigned end = 0; end < 2; end++) {
		struct port_queue *to = queue_of(w, !end, 1);
		struct stream stream = {.q = queue_of(w, end, 1), .n = 20000};
		unsigned n = 0;
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, send_stream, &stream), 0);
		while (n < stream.n) {
			n += receive(to, n, 60);
			if (n < stream.n && !to->port->ops->arm(to))
				assert_true(is_readable(to, PATIENCE_MS));
		}
		pthread_join(thread, NULL);
	}
}

/* --- threads ---------------------------------------------------------------------------------- */

enum { N_ENDS = 10, N_BETWEEN = 200 };

struct worker {
	struct world *w;
	unsigned queue;
	const bool *is_over;
	unsigned n_received;
	bool has_failed;
};

/* Sends one packet each way and takes what has come; with what was lost in between. */
static void exchange(struct worker *me, unsigned number)
{
	for (unsigned end = 0; end < 2; end++) {
		struct port_queue *q = queue_of(me->w, end, me->queue);
		struct packet *pkts[32], *pkt = numbered(q->pool, number, 3000);
		unsigned n;

		if (pkt)
			wr_port_tx(q, &pkt, 1);
		flush(q);
		n = wr_port_rx(q, pkts, 32);
		for (unsigned i = 0; i < n; i++) {
			me->has_failed |= pkts[i]->len != 3000;
			wr_packet_free(q->pool, pkts[i]);
		}
		me->n_received += n;
	}
}

static void *work(void *arg)
{
	struct worker *me = arg;

	for (unsigned i = 0; !__atomic_load_n(me->is_over, __ATOMIC_RELAXED); i++)
		exchange(me, i);
	return NULL;
}

static void ends_come_while_two_threads_work(void **state)
{
	struct world *w = *state;
	bool is_over = false;
	struct worker workers[2] = {{w, 0, &is_over, 0, false}, {w, 1, &is_over, 0, false}};
	pthread_t thread;

	open_pair(w, ",role=server,queues=2", ",queues=2");
	assert_int_equal(pthread_create(&thread, NULL, work, &workers[1]), 0);
	for (unsigned round = 0; round < N_ENDS; round++) {
		struct memif_port *mp = (struct memif_port *)w->ends[round & 1];
		const unsigned n = workers[0].n_received;

		while (workers[0].n_received < n + N_BETWEEN)
			exchange(&workers[0], 0);
		(void)shutdown(mp->ctl.sock_fd, SHUT_RDWR);
		while (fact_of(&mp->port, "n_connects") < round + 2)
			exchange(&workers[0], 0);
	}
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_false(workers[0].has_failed || workers[1].has_failed);
	assert_true(workers[1].n_received > 0);
}

/* A queue that sleeps is woken for the end, and the control worker when that queue has let go. */
static void a_sleeping_queue_lets_go(void **state)
{
	struct world *w = *state;

	open_pair(w, ",role=server,queues=2", ",queues=2");
	fall_asleep(queue_of(w, 0, 0));
	fall_asleep(queue_of(w, 0, 1));
	close_end(w, 1);
	assert_true(is_readable(queue_of(w, 0, 0), PATIENCE_MS));
	assert_int_equal(receive(queue_of(w, 0, 0), 0, 60), 0);
	assert_non_null(((struct memif_port *)w->ends[0])->ctl.dying); /* queue 1 has it */
	fall_asleep(queue_of(w, 0, 0));
	assert_false(is_readable(queue_of(w, 0, 0), 0));
	assert_true(is_readable(queue_of(w, 0, 1), 0));
	assert_int_equal(receive(queue_of(w, 0, 1), 0, 60), 0);
	assert_true(is_readable(queue_of(w, 0, 0), 0));
	assert_false(queue_of(w, 0, 0)->port->ops->arm(queue_of(w, 0, 0)));
	assert_null(((struct memif_port *)w->ends[0])->ctl.dying);
}

/* The peer may hold on to an eventfd for as long as it likes. */
static void an_old_interrupt_wakes_nobody(void **state)
{
	struct world *w = *state;
	const uint64_t one = 1;
	int fd;

	open_pair(w, ",role=server", "");
	fd = dup(((struct memif_port *)w->ends[1])->link->tx[0].event_fd);
	close_end(w, 1);
	await(w, 0, false);
	fall_asleep(queue_of(w, 0, 0));
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	assert_false(is_readable(queue_of(w, 0, 0), 0));
	close(fd);
}

/* --- what cannot be opened -------------------------------------------------------------------- */

static void expect_error(struct world *w, const char *options, int rc, const char *sentence)
{
	struct wr_err err = {""};

	assert_int_equal(try_open(w, 2, options, &err), rc);
	if (!strstr(err.text, sentence))
		fail_msg("'%s' does not say '%s'", err.text, sentence);
}

static void impossible_ports_are_a_sentence(void **state)
{
	struct world *w = *state;

	expect_error(w, ",mode=ip", -EOPNOTSUPP, "mode=ip: packets begin with an Ethernet header");
	expect_error(w, ",queues=64,descs=16384", -EINVAL,
		     "64,descs=16384: that is 4128 MiB of memory, 512");
	snprintf(w->socket, sizeof(w->socket), "%s/none/m.sock", w->dir);
	expect_error(w, ",role=server", -ENOENT, "does its directory exist?");
	snprintf(w->socket, sizeof(w->socket), "@");
	expect_error(w, "", -EINVAL, "memif:@: '@' must be followed by a name");
}

static void a_path_too_long_is_a_sentence(void **state)
{
	struct world *w = *state;
	char options[120];

	memset(options, 'x', sizeof(options) - 1);
	options[sizeof(options) - 1] = '\0';
	expect_error(w, options, -ENAMETOOLONG, "the socket's path is longer than 107");
}

static void a_served_socket_is_refused(void **state)
{
	struct world *w = *state;

	open_pair(w, ",role=server", "");
	expect_error(w, ",role=server", -EADDRINUSE, "the socket is served by another process");
	await(w, 0, true); /* and it is not disturbed */
	send_one(queue_of(w, 1, 0), 0, 60);
	flush(queue_of(w, 1, 0));
	assert_int_equal(receive(queue_of(w, 0, 0), 0, 60), 1);
}

static void what_is_no_socket_is_left_alone(void **state)
{
	struct world *w = *state;
	FILE *file = fopen(w->socket, "w");

	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	expect_error(w, ",role=server", -EEXIST, "is there and no socket");
	assert_int_equal(unlink(w->socket), 0);
}

static void a_socket_left_behind_is_replaced(void **state)
{
	struct world *w = *state;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	memcpy(addr.sun_path, w->socket, strlen(w->socket) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	open_pair(w, ",role=server", "");
	/* Somebody else's socket in its place is not removed at close. */
	assert_int_equal(unlink(w->socket), 0);
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close_end(w, 0);
	assert_int_equal(unlink(w->socket), 0);
	close(fd);
}

static void two_clients_are_not_connected(void **state)
{
	struct world *w = *state;
	struct packet *pkt;

	open_end(w, 0, "");
	open_end(w, 1, "");
	for (unsigned i = 0; i < 6; i++) /* each tries again and again */
		turn_all(w, -1);
	assert_false(is_connected(w->ends[0]) || is_connected(w->ends[1]));
	assert_int_equal(wr_port_rx(queue_of(w, 0, 0), &pkt, 1), 0);
}

static void a_second_client_waits_for_its_turn(void **state)
{
	struct world *w = *state;

	open_pair(w, ",role=server", "");
	open_end(w, 2, "");
	while (!fact_of(w->ends[0], "n_refused"))
		turn_all(w, -1);
	assert_false(is_connected(w->ends[2]));
	close_end(w, 1);
	await(w, 2, true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(each_size_goes_both_ways),
		TEST(less_than_a_header_is_refused),
		TEST(slots_forget_what_they_were),
		TEST(a_full_ring_drops_and_counts),
		TEST(without_frames_packets_wait_in_the_ring),
		TEST(unconnected_it_frees_and_counts),
		TEST(the_server_goes_and_comes_back),
		TEST(the_client_goes_and_comes_back),
		TEST(an_abstract_socket_will_do),
		TEST(the_facts_are_told),
		TEST(the_fewer_queues_decide),
		TEST(a_small_client_goes_by_its_own_sizes),
		TEST(only_a_sleeper_is_woken),
		TEST(one_more_look_finds_what_was_not_announced),
		TEST(a_sleeping_receiver_misses_nothing),
		TEST(ends_come_while_two_threads_work),
		TEST(a_sleeping_queue_lets_go),
		TEST(an_old_interrupt_wakes_nobody),
		TEST(impossible_ports_are_a_sentence),
		TEST(a_path_too_long_is_a_sentence),
		TEST(a_served_socket_is_refused),
		TEST(what_is_no_socket_is_left_alone),
		TEST(a_socket_left_behind_is_replaced),
		TEST(two_clients_are_not_connected),
		TEST(a_second_client_waits_for_its_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
