/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The least that a forwarder on AF_XDP can do: two ports, one memory; what comes in on one leaves
 * by the other with its MAC addresses swapped. What a router does beyond this is its own cost.
 *
 *   raw [-p] IFNAME IFNAME     -p sleeps in poll() while there is nothing, else it spins
 */
#include "tests/bench/bench.h"

#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <xdp/xsk.h>

#include "raw.skel.h"

/* Newer than the headers of Debian 12. */
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

enum {
	RING_DESCS = 2048,
	N_FRAMES = 4 * RING_DESCS,
	FRAME_SIZE = 2048,
	BURST = 256,
	SLEEP_MS = 1000,
};

struct port {
	unsigned ifindex;
	struct raw_bpf *skel;
	struct xsk_socket *xsk;
	struct xsk_ring_cons rx, comp;
	struct xsk_ring_prod tx, fill;
	struct pollfd pollfd;
};

struct raw {
	uint8_t *memory;
	struct xsk_umem *umem;
	struct port ports[2];
};

static void check(int rc, const char *what)
{
	if (!rc)
		return;
	if (rc < -1)
		errno = -rc;
	die(what);
}

static void open_memory(struct raw *r)
{
	const size_t bytes = (size_t)N_FRAMES * FRAME_SIZE;
	const struct xsk_umem_config config = {
		.fill_size = N_FRAMES, .comp_size = RING_DESCS, .frame_size = FRAME_SIZE};
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
	r->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (r->memory == MAP_FAILED)
		die("mmap");
	check(xsk_umem__create(&r->umem, r->memory, bytes, &r->ports[0].fill, &r->ports[0].comp,
			       &config),
	      "UMEM");
}

/* Frames that may be received into. */
static void fill(struct port *p, const uint64_t *addrs, uint32_t n)
{
	uint32_t idx;

	if (xsk_ring_prod__reserve(&p->fill, n, &idx) != n)
		die("fill ring"); /* it has a slot for each frame that there is */
	for (uint32_t i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&p->fill, idx + i) = addrs[i];
	xsk_ring_prod__submit(&p->fill, n);
}

static void open_port(struct raw *r, struct port *p, const char *ifname)
{
	const struct xsk_socket_config config = {
		.rx_size = RING_DESCS,
		.tx_size = RING_DESCS,
		.libbpf_flags = XSK_LIBBPF_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP,
	};
	const unsigned first = p == r->ports ? 0 : N_FRAMES / 2;
	uint32_t zero = 0, budget = BURST;
	int fd;

	p->ifindex = if_nametoindex(ifname);
	p->skel = raw_bpf__open_and_load();
	if (!p->skel)
		die("raw.bpf.o");
	check(xsk_socket__create_shared(&p->xsk, ifname, 0, r->umem, &p->rx, &p->tx, &p->fill,
					&p->comp, &config),
	      ifname);
	fd = xsk_socket__fd(p->xsk);
	(void)setsockopt(fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
	for (unsigned i = first; i < first + N_FRAMES / 2; i++)
		fill(p, &(uint64_t){(uint64_t)i * FRAME_SIZE}, 1);
	p->pollfd = (struct pollfd){.fd = fd, .events = POLLIN};
	check(bpf_map_update_elem(bpf_map__fd(p->skel->maps.sockets), &zero, &fd, BPF_ANY),
	      "socket map");
	check(bpf_xdp_attach((int)p->ifindex, bpf_program__fd(p->skel->progs.raw),
			     XDP_FLAGS_DRV_MODE, NULL),
	      "attach");
}

/* What `out` has sent goes back to where it was received. */
static void reclaim(struct port *out, struct port *in)
{
	uint64_t addrs[BURST];
	uint32_t idx, n;

	while ((n = xsk_ring_cons__peek(&out->comp, BURST, &idx))) {
		for (uint32_t i = 0; i < n; i++)
			addrs[i] = *xsk_ring_cons__comp_addr(&out->comp, idx + i);
		xsk_ring_cons__release(&out->comp, n);
		fill(in, addrs, n);
	}
}

/* EAGAIN: the kernel has not taken all (its budget, or the completion ring is full); EBUSY: the
 * peer has dropped one. */
static void flush(struct port *out, struct port *in)
{
	while (sendto(out->pollfd.fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && !must_end &&
	       (errno == EAGAIN || errno == EBUSY || errno == ENOBUFS))
		reclaim(out, in);
	reclaim(out, in);
}

static void swap_macs(struct ethhdr *eth)
{
	uint8_t mac[ETH_ALEN];

	memcpy(mac, eth->h_dest, ETH_ALEN);
	memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	memcpy(eth->h_source, mac, ETH_ALEN);
}

static uint32_t forward(const struct raw *r, struct port *in, struct port *out)
{
	uint32_t rx, tx, n = xsk_ring_cons__peek(&in->rx, BURST, &rx);

	if (!n)
		return 0;
	if (xsk_ring_prod__reserve(&out->tx, n, &tx) != n)
		die("transmit ring"); /* it was flushed */
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *got = xsk_ring_cons__rx_desc(&in->rx, rx + i);

		swap_macs(xsk_umem__get_data(r->memory, got->addr));
		*xsk_ring_prod__tx_desc(&out->tx, tx + i) =
			(struct xdp_desc){.addr = got->addr, .len = got->len};
	}
	xsk_ring_cons__release(&in->rx, n);
	xsk_ring_prod__submit(&out->tx, n);
	flush(out, in);
	return n;
}

static void run(struct raw *r, bool does_sleep)
{
	struct port *p = r->ports;

	while (!must_end) {
		uint32_t n = forward(r, &p[0], &p[1]) + forward(r, &p[1], &p[0]);
		struct pollfd fds[] = {p[0].pollfd, p[1].pollfd};

		if (!n && does_sleep)
			(void)poll(fds, 2, SLEEP_MS);
	}
}

int main(int argc, char **argv)
{
	static struct raw r;
	const bool does_sleep = argc == 4 && !strcmp(argv[1], "-p");

	if (argc != 3 && !does_sleep)
		usage("raw [-p] IFNAME IFNAME");
	end_on_signals();
	open_memory(&r);
	for (int i = 0; i < 2; i++)
		open_port(&r, &r.ports[i], argv[argc - 2 + i]);
	run(&r, does_sleep);
	for (int i = 0; i < 2; i++) {
		(void)bpf_xdp_detach((int)r.ports[i].ifindex, XDP_FLAGS_DRV_MODE, NULL);
		xsk_socket__delete(r.ports[i].xsk);
		raw_bpf__destroy(r.ports[i].skel);
	}
	return 0;
}
