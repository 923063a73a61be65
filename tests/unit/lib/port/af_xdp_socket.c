/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening a port while the kernel refuses one of its calls, each in turn: nothing is left behind,
 * and the caller hears a sentence. And kernels that lack something which can be done without.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

static struct {
	unsigned n_calls, fails_at; /* 1 is the first; 0: none */
	bool for_good;              /* and every later one */
	int code;
	bool is_old; /* a kernel without TX metadata */
} kernel;

static bool refuses(void)
{
	kernel.n_calls++;
	if (!kernel.fails_at || kernel.n_calls < kernel.fails_at ||
	    (kernel.n_calls > kernel.fails_at && !kernel.for_good))
		return false;
	errno = kernel.code;
	return true;
}

static int try_socket(int domain, int type, int protocol)
{
	return refuses() ? -1 : socket(domain, type, protocol);
}

enum { SOL_XDP_ = 283, UMEM_REG = 4 };

/* What stands in struct xdp_umem_reg behind addr, len, chunk_size and headroom. */
static bool is_about_metadata(const void *value)
{
	uint32_t flags, tx_metadata_len;

	memcpy(&flags, (const char *)value + 24, sizeof(flags));
	memcpy(&tx_metadata_len, (const char *)value + 28, sizeof(tx_metadata_len));
	return flags || tx_metadata_len;
}

static int try_setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	if (refuses())
		return -1;
	if (kernel.is_old && level == SOL_XDP_ && option == UMEM_REG && is_about_metadata(value)) {
		errno = EINVAL;
		return -1;
	}
	return setsockopt(fd, level, option, value, len);
}

static int try_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	return refuses() ? -1 : getsockopt(fd, level, option, value, len);
}

static void *try_mmap(void *addr, size_t n, int prot, int flags, int fd, off_t offset)
{
	return refuses() ? MAP_FAILED : mmap(addr, n, prot, flags, fd, offset);
}

static int try_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	int rc = refuses() ? -1 : bind(fd, addr, len);

	/* The queue is not free yet, and this is tried again: not a call of its own. */
	if (rc && errno == EBUSY)
		kernel.n_calls--;
	return rc;
}

#define socket try_socket
#define setsockopt try_setsockopt
#define getsockopt try_getsockopt
#define mmap try_mmap
#define bind try_bind
#include "lib/port/af_xdp_socket.c"
#undef socket
#undef setsockopt
#undef getsockopt
#undef mmap
#undef bind
#include "tests/unit/lib/port/af_xdp_fixture.h"

static int setup_kernel(void **state)
{
	kernel.fails_at = 0;
	kernel.is_old = false;
	return setup_closed(state);
}

static struct af_xdp_conf two_queues(void)
{
	struct af_xdp_conf conf = conf_of("xa");

	conf.n_queues = 2;
	conf.busy_poll_us = 20;
	conf.busy_poll_budget = 64;
	return conf;
}

/* True if the port could be had all the same. */
static bool open_and_close(struct fixture *f, const struct af_xdp_conf *conf)
{
	struct wr_err err = {""};
	struct port *port = NULL;
	int rc = wr_port_af_xdp_open(f->umem, conf, &port, &err);

	if (!rc) {
		assert_string_equal(err.text, "");
		port->ops->close(port);
		return true;
	}
	assert_int_equal(rc, -kernel.code);
	assert_null(port);
	assert_memory_equal(err.text, "xa: ", 4);
	return false;
}

/* Refuses the first call, the second ... until a port is opened without any being refused. Returns
 * how many times it could not be had. */
static unsigned refuse_each(struct fixture *f, int code, bool for_good)
{
	const struct af_xdp_conf conf = two_queues();
	unsigned n_fds = count_fds(), n_maps = count_ring_maps(), n_failed = 0;

	kernel.code = code;
	kernel.for_good = for_good;
	for (kernel.fails_at = 1;; kernel.fails_at++) {
		kernel.n_calls = 0;
		n_failed += !open_and_close(f, &conf);
		assert_int_equal(count_fds(), n_fds);
		assert_int_equal(count_ring_maps(), n_maps);
		assert_int_equal(wr_umem_audit(f->umem), N_FRAMES);
		if (kernel.n_calls < kernel.fails_at)
			break;
	}
	kernel.fails_at = 0;
	return n_failed;
}

enum {
	/* socket, 4 rings, their offsets, 4 maps, 3 for busy polling, bind */
	CALLS_A_QUEUE = 1 + 4 + 1 + 4 + 3 + 1,
	CALLS_TWO_QUEUES = 2 * CALLS_A_QUEUE + 1, /* and one registration */
};

/* Not about the mode, so no other mode is tried. */
static void each_call_refused_once(void **state)
{
	unsigned n_failed = refuse_each(*state, EACCES, false);

	/* The modes that the veth lacks fail later than the call; registration is tried without
	 * metadata; what is asked of a socket that works is not needed. */
	assert_in_range(n_failed, CALLS_TWO_QUEUES - 1, 4 * CALLS_TWO_QUEUES);
}

/* A shortage: another mode is tried, and fails by its first call. */
static void each_call_refused_and_all_after_it(void **state)
{
	assert_in_range(refuse_each(*state, ENOMEM, true), CALLS_TWO_QUEUES - 1,
			4 * CALLS_TWO_QUEUES);
	assert_in_range(refuse_each(*state, EMFILE, true), CALLS_TWO_QUEUES - 1,
			4 * CALLS_TWO_QUEUES);
}

/* What 6.8 to 6.10, and all before, say of metadata. */
static void a_kernel_without_metadata(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = two_queues();

	kernel.is_old = true;
	open_port(f, &conf);
	kernel.is_old = false;
	attach(f, false);
	assert_int_equal(fact(f->port, "tx_checksum"), 0);
	assert_false(f->port->flags & PORT_TX_CSUM);
	queue_packets(f, f->q, 3, 1, MAX_BYTES);
	f->port->ops->flush(f->q);
	expect_at_peer(f, 3, MAX_BYTES);
	peer_send(f, 4, MAX_BYTES);
	expect_here(f, f->q, 4, MAX_BYTES);
}

static void without_what_can_be_done_without(void **state)
{
	struct fixture *f = *state;
	struct af_xdp_conf conf = conf_of("xa");

	/* The last two calls: which mode it is, and how much a sendto() may take. */
	kernel.n_calls = 0;
	open_port(f, &conf);
	kernel.fails_at = kernel.n_calls - 1;
	f->port->ops->close(f->port);
	kernel.n_calls = 0;
	kernel.code = ENOPROTOOPT;
	kernel.for_good = true;
	open_port(f, &conf);
	kernel.fails_at = 0;
	assert_string_equal(f->port->mode, "native copy");
	queue_packets(f, f->q, 0, 200, 60); /* more than one call takes */
	f->port->ops->flush(f->q);
	assert_int_equal(count_at_peer(f, 200), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_call_refused_once, setup_kernel),
		TEST(each_call_refused_and_all_after_it, setup_kernel),
		TEST(a_kernel_without_metadata, setup_kernel),
		TEST(without_what_can_be_done_without, setup_kernel),
	};
	int rc = enter_namespace();

	return rc ? rc : cmocka_run_group_tests(tests, NULL, NULL);
}
