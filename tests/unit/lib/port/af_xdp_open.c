/* SPDX-License-Identifier: BSD-3-Clause */
/* What the driver does when a port cannot be had: it says why, and leaves nothing behind. */
#include "lib/port/af_xdp_open.c"
#include "tests/unit/lib/port/af_xdp_fixture.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* --- failures leave nothing behind ------------------------------------------------------------ */

static void expect_failure(struct fixture *f, const struct af_xdp_conf *conf, int code,
			   const char *sentence)
{
	unsigned n_fds = count_fds(), n_maps = count_ring_maps();
	struct wr_err err = {""};
	struct port *port = NULL;

	assert_int_equal(wr_port_af_xdp_open(f->umem, conf, &port, &err), code);
	assert_null(port);
	if (!strstr(err.text, sentence))
		fail_msg("'%s' is not in '%s'", sentence, err.text);
	assert_int_equal(count_fds(), n_fds);
	assert_int_equal(count_ring_maps(), n_maps);
}

static void failures_are_sentences(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xa");

	assert_int_equal(count_ring_maps(), 4); /* else the counting below proves nothing */
	expect_failure(f, &conf, -EBUSY, "xa: receive queue 0 is taken by another AF_XDP socket");
	conf.n_queues = 3;
	expect_failure(f, &conf, -EINVAL, "xa: has 2 receive queues, 3 were asked for");
	conf.n_queues = 0;
	expect_failure(f, &conf, -EINVAL, "xa: 0 queues");
	conf = conf_of("xb");
	conf.rx_descs = 100;
	expect_failure(f, &conf, -EINVAL, "xb: rings of 100 and 512 descriptors");
	conf = conf_of("xb");
	conf.ifname = "eth7";
	conf.ifindex = 4711;
	expect_failure(f, &conf, -ENODEV, "eth7: no such interface");
	conf = conf_of("xb");
	conf.busy_poll_us = 20;
	conf.busy_poll_budget = 70000; /* the kernel's limit is 65535 */
	expect_failure(f, &conf, -EINVAL, "xb: cannot poll busily for 20 us and 70000 packets");
}

static void second_queue_taken_frees_the_first(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xb");
	struct xdp_queue taker = {.umem = f->umem, .fd = -1, .rx_descs = 64, .tx_descs = 64};
	enum step step;

	taker.q.queue_idx = 1;
	assert_int_equal(wr_af_xdp_open_socket(&taker, &conf, XDP_COPY, -1, &step), 0);
	conf.n_queues = 2;
	expect_failure(f, &conf, -EBUSY, "xb: receive queue 1 is taken");
	wr_af_xdp_close_socket(&taker);
}

static void a_queue_is_free_soon_after_close(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xa");

	for (unsigned i = 0; i < 5; i++) {
		f->port->ops->close(f->port);
		f->port = NULL;
		assert_int_equal(count_ring_maps(), 0);
		open_port(f, &conf);
		peer_send(f, i, 60);
		expect_here(f, f->q, i, 60);
	}
}

static void drop_capabilities(uint32_t lost)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2];

	if (syscall(SYS_capget, &head, caps))
		_exit(3);
	caps[0].effective &= ~lost;
	caps[0].permitted &= ~lost;
	if (syscall(SYS_capset, &head, caps))
		_exit(3);
}

/* In a child without these capabilities and with this limit: the failure's code and sentence. */
static void expect_failure_without(struct fixture *f, const struct af_xdp_conf *conf, uint32_t lost,
				   rlim_t memlock, int code, const char *sentence)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		const struct rlimit limit = {memlock, memlock};
		struct wr_err err = {""};
		struct port *port;
		int rc;

		setrlimit(RLIMIT_MEMLOCK, &limit);
		drop_capabilities(lost);
		rc = wr_port_af_xdp_open(f->umem, conf, &port, &err);
		if (rc != code || !strstr(err.text, sentence))
			print_error("%d: %s\n", rc, err.text);
		_exit(rc != code || !strstr(err.text, sentence));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void missing_privileges_are_sentences(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xb");

	expect_failure_without(f, &conf, 1U << CAP_NET_RAW, RLIM_INFINITY, -EPERM,
			       "xb: an AF_XDP socket needs CAP_NET_RAW");
	expect_failure_without(f, &conf, 1U << CAP_IPC_LOCK | 1U << CAP_SYS_RESOURCE, 64 << 10,
			       -ENOBUFS,
			       "exceed the limit of 64 KiB for locked memory: raise it (ulimit -l");
	conf.busy_poll_us = 20;
	conf.busy_poll_budget = 64;
	expect_failure_without(f, &conf, 1U << CAP_NET_ADMIN, RLIM_INFINITY, -EPERM,
			       "xb: busy polling needs CAP_NET_ADMIN");
}

/* A veth has no zero-copy. */
static void it_says_why_it_copies(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xa");

	assert_string_equal(wr_port_af_xdp_why_copy(f->port),
			    "the driver has no zero-copy: EOPNOTSUPP");
	f->port->ops->close(f->port);
	conf.mtu = 9000;
	open_port(f, &conf);
	assert_string_equal(
		wr_port_af_xdp_why_copy(f->port),
		"the driver has no zero-copy for packets of several buffers: EOPNOTSUPP");
	f->port->ops->close(f->port);
	conf.force_copy = true;
	open_port(f, &conf);
	assert_string_equal(wr_port_af_xdp_why_copy(f->port), "zero-copy is switched off");
	f->port->ops->close(f->port);
	conf.generic = true;
	open_port(f, &conf);
	assert_string_equal(wr_port_af_xdp_why_copy(f->port), "");
}

/* --- more queues than at first ---------------------------------------------------------------- */

static struct af_xdp_conf open_first_of_two(struct fixture *f)
{
	struct af_xdp_conf conf = conf_of("xa");

	conf.max_queues = 2;
	open_port(f, &conf);
	attach(f, false);
	assert_int_equal(f->port->n_queues, 1);
	assert_int_equal(f->port->n_rx_only, 0);
	return conf;
}

static void a_port_grows_while_it_works(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = open_first_of_two(f);
	struct port_queue *added;

	conf.n_queues = 3; /* no more than was said at first */
	assert_int_equal(wr_port_af_xdp_grow(f->port, &conf, NULL), 0);
	assert_int_equal(f->port->n_queues, 2);
	assert_int_equal(f->port->n_rx_only, 0);
	added = f->port->queues[1];
	assert_int_equal(added->queue_idx, 1);
	added->pool = &f->pool;
	assert_int_equal(f->port->ops->start(added), 0);
	queue_packets(f, added, 1, 1, 60);
	added->port->ops->flush(added);
	expect_at_peer(f, 1, 60);
	queue_packets(f, added, 2, 1, MAX_BYTES); /* as the first one: in several buffers */
	added->port->ops->flush(added);
	expect_at_peer(f, 2, MAX_BYTES);
	assert_int_equal(xdp_queue(added)->has_tx_metadata, xdp_queue(f->q)->has_tx_metadata);
	assert_int_equal(xdp_queue(added)->is_sg, xdp_queue(f->q)->is_sg);
	peer_send(f, 3, 60);
	expect_here(f, f->q, 3, 60);
	conf.n_queues = 1; /* nothing to do */
	assert_int_equal(wr_port_af_xdp_grow(f->port, &conf, NULL), 0);
	assert_int_equal(f->port->n_queues, 2);
}

static void a_queue_that_cannot_be_had_stays_out(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = open_first_of_two(f);
	struct xdp_queue taker = {.umem = f->umem, .fd = -1, .rx_descs = 64, .tx_descs = 64};
	struct wr_err err = {""};
	unsigned n_fds, n_maps;
	enum step step;

	taker.q.queue_idx = 1;
	assert_int_equal(wr_af_xdp_open_socket(&taker, &conf, XDP_COPY, -1, &step), 0);
	n_fds = count_fds();
	n_maps = count_ring_maps();
	conf.n_queues = 2;
	assert_int_equal(wr_port_af_xdp_grow(f->port, &conf, &err), -EBUSY);
	assert_non_null(strstr(err.text, "xa: receive queue 1 is taken by another"));
	assert_int_equal(f->port->n_queues, 1);
	assert_int_equal(count_fds(), n_fds);
	assert_int_equal(count_ring_maps(), n_maps);
	peer_send(f, 1, 60);
	expect_here(f, f->q, 1, 60);
	wr_af_xdp_close_socket(&taker);
}

static void queues_that_only_receive_are_the_last(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf;

	run("ethtool -L xa rx 2 tx 1");
	conf = open_first_of_two(f);
	conf.n_queues = 2;
	assert_int_equal(wr_port_af_xdp_grow(f->port, &conf, NULL), 0);
	assert_int_equal(f->port->n_queues, 2);
	assert_int_equal(f->port->n_rx_only, 1);
	f->port->ops->close(f->port);
	open_port(f, &conf);
	assert_int_equal(f->port->n_rx_only, 1);
	/* An interface that does not tell sends by those that it had at first. */
	snprintf(f->port->name, sizeof(f->port->name), "nobody");
	note_rx_only(f->port, 2);
	assert_int_equal(f->port->n_rx_only, 0);
	note_rx_only(f->port, 1);
	assert_int_equal(f->port->n_rx_only, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(failures_are_sentences, setup),
		TEST(second_queue_taken_frees_the_first, setup_closed),
		TEST(a_queue_is_free_soon_after_close, setup),
		TEST(missing_privileges_are_sentences, setup_closed),
		TEST(it_says_why_it_copies, setup),
		TEST(a_port_grows_while_it_works, setup_closed),
		TEST(a_queue_that_cannot_be_had_stays_out, setup_closed),
		TEST(queues_that_only_receive_are_the_last, setup_closed),
	};
	int rc = enter_namespace();

	return rc ? rc : cmocka_run_group_tests(tests, NULL, NULL);
}
