/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Raw packet I/O: the public header over lib/port.
 *
 * A `struct weir_packet` is a `struct packet`: the same memory, of which the public header shows
 * the first half. A queue is a driver's queue with a pool of free frames of its own, so that it
 * needs no lock whichever thread uses it; frames that are received by one queue and sent by another
 * go from the sender's pool back to the receiver's through the UMEM's depot, in batches.
 *
 * An af_xdp port gets an XDP program that takes all frames. Its heartbeat is that of the thread
 * which uses the queue: stored by weir_rx(), "asleep" in weir_wait().
 */
#include "cnet/port.h"

#include "lib/base/alloc.h"
#include "lib/mem/l4_csum.h"
#include "lib/port/spec.h"
#include "lib/steer/beat.h"
#include "lib/steer/steer.h"
#include "lib/sys/ethtool.h"
#include "lib/sys/netif.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	DEFAULT_BUFFERS = 1024,
	DEFAULT_BUFFER_BYTES = 2048,
	DEFAULT_DEADLINE_MS = 1000,
	/* A sleeper on a heartbeat wakes at least so often: see bpf/steer.h on lost wake-ups. */
	MAX_SLEEP_MS = 1000,
};

static_assert((int)WEIR_BURST == (int)WR_BURST && (int)WEIR_IO_PORTS == (int)WR_MAX_PORTS &&
		      (int)WEIR_IO_QUEUES == (int)WR_MAX_QUEUES,
	      "one set of limits");
static_assert((int)WEIR_PACKET_CSUM_PARTIAL == (int)PKT_CSUM_PARTIAL, "one set of flags");
static_assert(sizeof(struct weir_packet) == sizeof(struct packet) &&
		      offsetof(struct weir_packet, data) == offsetof(struct packet, data) &&
		      offsetof(struct weir_packet, next) == offsetof(struct packet, next) &&
		      offsetof(struct weir_packet, len) == offsetof(struct packet, len) &&
		      offsetof(struct weir_packet, seg_len) == offsetof(struct packet, seg_len) &&
		      offsetof(struct weir_packet, n_segs) == offsetof(struct packet, n_segs) &&
		      offsetof(struct weir_packet, flags) == offsetof(struct packet, flags),
	      "a public packet is a packet");
static_assert(sizeof(struct weir_error) == sizeof(struct wr_err), "an error is an error");

struct weir_queue {
	struct port_queue *q;
	struct beat beat;
	const struct wr_clock *clock;
	struct pool pool;
} wr_cache_aligned;

struct io_port {
	struct port *port;
	struct steer_port *steer;  /* af_xdp only */
	struct weir_queue *queues; /* [port->n_queues] */
};

struct weir_io {
	struct umem *umem;
	struct steer *steer; /* NULL until an af_xdp port needs it */
	uint64_t deadline_ns;
	unsigned n_ports;
	unsigned n_beats; /* heartbeats given out */
	struct io_port ports[WR_MAX_PORTS];
};

static struct packet **own(struct weir_packet **packets)
{
	return (struct packet **)packets;
}

static struct wr_err *own_error(struct weir_error *error)
{
	return (struct wr_err *)error;
}

/* --- open ------------------------------------------------------------------------------------- */

static int open_steering(struct weir_io *io, struct io_port *p, const struct port_args *args,
			 const struct netif *netif, struct wr_err *err)
{
	static const enum steer_mode modes[] = {
		[AF_XDP_MODE_AUTO] = STEER_AUTO,
		[AF_XDP_MODE_NATIVE] = STEER_NATIVE,
		[AF_XDP_MODE_GENERIC] = STEER_GENERIC,
	};
	const struct steer_port_conf conf = {
		.ifname = args->names[0],
		.ifindex = netif->ifindex,
		.mode = modes[args->values[AF_XDP_OPT_MODE]],
		.mac = netif->mac,
		.mtu = netif->mtu,
		.is_virtual = wr_ethtool_is_virtual(args->names[0]),
		.takes_all = true,
		.deadline_ns = io->deadline_ns,
	};
	int rc = io->steer ? 0 : wr_steer_create(&io->steer, err);

	return rc < 0 ? rc : wr_steer_port_open(io->steer, &conf, &p->steer, err);
}

/* As asked for; else those that both receive and send, as a weir_queue does. */
static int n_queues_of(const struct port_args *args, struct wr_err *err)
{
	const int n_queues = wr_port_n_queues(args, err);
	const int n_tx = (int)wr_ethtool_n_tx_queues(args->names[0]);

	return n_tx && n_tx < n_queues && !args->values[AF_XDP_OPT_QUEUES] ? n_tx : n_queues;
}

static int open_af_xdp(struct weir_io *io, struct io_port *p, const struct port_args *args,
		       struct wr_err *err)
{
	struct netif netif;
	int n_queues = n_queues_of(args, err);
	int rc = wr_netif_get(args->names[0], &netif);
	struct af_xdp_conf conf;

	if (n_queues < 0)
		return n_queues;
	if (rc < 0)
		return wr_err(err, rc, "%s: no such interface; 'ip link' lists those there are",
			      args->names[0]);
	if (!netif.is_ethernet)
		return wr_err(err, -EINVAL, "%s: is no Ethernet interface", args->names[0]);
	conf = (struct af_xdp_conf){
		.ifname = args->names[0],
		.ifindex = netif.ifindex,
		.mtu = netif.mtu,
		.n_queues = (uint16_t)n_queues,
		.generic = args->values[AF_XDP_OPT_MODE] == AF_XDP_MODE_GENERIC,
		.force_copy = args->values[AF_XDP_OPT_COPY],
		.rx_descs = args->values[AF_XDP_OPT_DESCS],
		.tx_descs = args->values[AF_XDP_OPT_DESCS],
	};
	rc = open_steering(io, p, args, &netif, err);
	if (!rc)
		rc = wr_port_af_xdp_open(io->umem, &conf, &p->port, err);
	if (rc < 0)
		return rc;
	p->port->mac = netif.mac;
	return 0;
}

/* A longer frame than the sockets can take stays with the kernel. */
static uint32_t takeable_mtu(const struct port *port)
{
	return wr_port_af_xdp_max_bytes(port) - ETH_HDR_BYTES;
}

/* Sockets into the map, then the program onto the interface: KERNEL's order. */
static int attach(struct weir_io *io, struct io_port *p, struct wr_err *err)
{
	int rc;

	if (io->n_beats + p->port->n_queues > STEER_MAX_WORKERS)
		return wr_err(
			err, -E2BIG,
			"%s: with it there are %u af_xdp queues: %d are possible, use queues=",
			p->port->name, io->n_beats + p->port->n_queues, STEER_MAX_WORKERS);
	for (unsigned i = 0; i < p->port->n_queues; i++) {
		unsigned beat_idx = io->n_beats++;

		rc = wr_steer_port_set_socket(p->steer, i, beat_idx, wr_port_af_xdp_fd(p->port, i));
		if (rc < 0)
			return wr_err(err, rc, "%s: setting up its queues: %s", p->port->name,
				      strerror(-rc));
		p->queues[i].beat = (struct beat){
			.word = wr_steer_beat(io->steer, beat_idx),
			.deadline_ns = io->deadline_ns,
		};
		/* What comes before the first weir_rx() is kept for it, for one deadline from the
		 * first frame on. */
		wr_beat_sleep(&p->queues[i].beat);
	}
	wr_steer_port_set_mtu(p->steer, takeable_mtu(p->port));
	rc = wr_steer_port_attach(p->steer, NULL, err);
	/* Generic XDP sees frames after GRO and before GSO, with unfinished checksums. */
	if (!rc && !strcmp(wr_steer_port_mode(p->steer), "generic"))
		p->port->flags |= PORT_VIRTUAL | PORT_MERGED;
	return rc;
}

static int give_queues(struct weir_io *io, struct io_port *p, struct wr_err *err)
{
	const struct port *port = p->port;

	p->queues = wr_alloc_lines(port->n_queues * sizeof(*p->queues));
	if (!p->queues)
		return wr_err(err, -ENOMEM, "%s: out of memory", port->name);
	for (unsigned i = 0; i < port->n_queues; i++) {
		struct weir_queue *queue = &p->queues[i];
		int rc;

		queue->q = port->queues[i];
		queue->clock = wr_clock_monotonic();
		wr_pool_init(&queue->pool, io->umem);
		queue->q->pool = &queue->pool;
		rc = port->ops->start ? port->ops->start(queue->q) : 0;
		if (rc < 0)
			return wr_err(err, rc, "%s: starting queue %u: %s", port->name, i,
				      strerror(-rc));
	}
	return 0;
}

static int open_port(struct weir_io *io, const struct port_args *args, struct wr_err *err)
{
	const unsigned port_idx = io->n_ports++;
	struct io_port *p = &io->ports[port_idx];
	int rc;

	if (*args->dev)
		return wr_err(err, -EINVAL, "%.100s: dev= is for weir-router only", args->text);
	if (args->driver == &wr_port_af_xdp_driver)
		rc = open_af_xdp(io, p, args, err);
	else
		rc = wr_port_open(io->umem, args, &p->port, err);
	if (rc < 0)
		return rc;
	p->port->port_idx = (uint8_t)port_idx;
	if (!p->steer)
		p->port->mac = (struct mac){{2, 'w', 'e', 'i', 'r', (uint8_t)port_idx}};
	rc = give_queues(io, p, err);
	if (!rc && p->steer)
		rc = attach(io, p, err);
	return rc;
}

static int create_memory(struct weir_io *io, const struct port_args *args, unsigned n_ports,
			 const struct weir_io_options *options, struct wr_err *err)
{
	struct umem_conf conf = {
		.n_frames = options->n_buffers ? options->n_buffers : DEFAULT_BUFFERS,
		.frame_bytes = options->buffer_bytes ? options->buffer_bytes : DEFAULT_BUFFER_BYTES,
	};

	for (unsigned i = 0; i < n_ports; i++) {
		int n_queues = wr_port_n_queues(&args[i], err);

		if (n_queues < 0)
			return n_queues;
		conf.n_frames += args[i].driver->max_frames(&args[i]) +
				 (unsigned)n_queues * (WR_POOL_MAX + WR_BURST);
	}
	return wr_umem_create(&conf, &io->umem, err);
}

static int open_all(struct weir_io *io, struct port_args *args, const char *const *names,
		    unsigned n_names, const struct weir_io_options *options, struct wr_err *err)
{
	int rc = 0;

	for (unsigned i = 0; i < n_names && !rc; i++)
		rc = wr_port_parse(names[i], &args[i], err);
	if (!rc)
		rc = create_memory(io, args, n_names, options, err);
	for (unsigned i = 0; i < n_names && !rc; i++)
		rc = open_port(io, &args[i], err);
	return rc;
}

int weir_io_open(const char *const *names, unsigned n_names, const struct weir_io_options *options,
		 struct weir_io **ret_io, struct weir_error *error)
{
	static const struct weir_io_options defaults = {.n_buffers = 0};
	struct wr_err *err = own_error(error);
	struct port_args *args;
	struct weir_io *io;
	int rc;

	if (!options)
		options = &defaults;
	if (!n_names || n_names > WR_MAX_PORTS)
		return wr_err(err, -EINVAL, "%u ports: 1 to %d are possible", n_names,
			      WR_MAX_PORTS);
	io = calloc(1, sizeof(*io));
	args = calloc(n_names, sizeof(*args));
	if (io && args) {
		io->deadline_ns =
			(options->deadline_ms ? options->deadline_ms : DEFAULT_DEADLINE_MS) *
			WR_NS_PER_MS;
		rc = open_all(io, args, names, n_names, options, err);
	} else {
		rc = wr_err(err, -ENOMEM, "out of memory");
	}
	free(args);
	if (rc < 0) {
		weir_io_close(io);
		return rc;
	}
	*ret_io = io;
	return 0;
}

static void close_port(struct io_port *p)
{
	/* What comes from here on is the kernel's. */
	for (unsigned i = 0; p->steer && p->port && i < p->port->n_queues; i++)
		wr_steer_port_set_socket(p->steer, i, 0, -1);
	for (unsigned i = 0; p->port && p->queues && i < p->port->n_queues; i++)
		if (p->queues[i].q)
			wr_pool_fini(&p->queues[i].pool);
	if (p->port)
		p->port->ops->close(p->port);
	if (p->steer)
		wr_steer_port_close(p->steer, true);
	free(p->queues);
}

void weir_io_close(struct weir_io *io)
{
	if (!io)
		return;
	for (unsigned i = 0; i < io->n_ports; i++)
		close_port(&io->ports[i]);
	if (io->steer)
		wr_steer_free(io->steer);
	if (io->umem)
		wr_umem_free(io->umem);
	free(io);
}

/* --- facts ------------------------------------------------------------------------------------ */

static const struct io_port *find_port(const struct weir_io *io, unsigned port_idx)
{
	return port_idx < io->n_ports ? &io->ports[port_idx] : NULL;
}

unsigned weir_io_n_ports(const struct weir_io *io)
{
	return io->n_ports;
}

unsigned weir_io_n_queues(const struct weir_io *io, unsigned port_idx)
{
	const struct io_port *p = find_port(io, port_idx);

	return p ? p->port->n_queues : 0;
}

struct weir_queue *weir_io_queue(struct weir_io *io, unsigned port_idx, unsigned queue_idx)
{
	const struct io_port *p = find_port(io, port_idx);

	return p && queue_idx < p->port->n_queues ? &p->queues[queue_idx] : NULL;
}

const char *weir_io_mode(const struct weir_io *io, unsigned port_idx)
{
	const struct io_port *p = find_port(io, port_idx);

	if (!p)
		return "";
	if (p->steer && !strcmp(wr_steer_port_mode(p->steer), "generic"))
		return "generic copy";
	return p->port->mode ? p->port->mode : "";
}

int weir_io_mac(const struct weir_io *io, unsigned port_idx, uint8_t ret_mac[6])
{
	const struct io_port *p = find_port(io, port_idx);

	if (!p)
		return -ENODEV;
	memcpy(ret_mac, p->port->mac.b, sizeof(p->port->mac.b));
	return 0;
}

static void see_connected(void *arg, const char *name, uint64_t value)
{
	if (!strcmp(name, "connected"))
		*(int *)arg = value != 0;
}

int weir_io_is_connected(const struct weir_io *io, unsigned port_idx)
{
	const struct io_port *p = find_port(io, port_idx);
	int is_connected = 1;

	if (!p)
		return -ENODEV;
	/* An interface's statistics are system calls, and say nothing of this. */
	if (!p->steer && p->port->ops->facts)
		p->port->ops->facts(p->port, see_connected, &is_connected);
	return is_connected;
}

/* AF_XDP's own statistics of what it could not deliver. */
static void add_missed(void *arg, const char *name, uint64_t value)
{
	if (!strcmp(name, "rx_dropped") || !strcmp(name, "rx_ring_full"))
		*(uint64_t *)arg += value;
}

int weir_io_stats(const struct weir_io *io, unsigned port_idx, struct weir_io_stats *ret_stats)
{
	const struct io_port *p = find_port(io, port_idx);
	struct port_counters c;

	if (!p)
		return -ENODEV;
	wr_port_counters(p->port, &c);
	*ret_stats = (struct weir_io_stats){
		.rx_packets = c.rx_pkts,
		.rx_bytes = c.rx_bytes,
		.tx_packets = c.tx_pkts,
		.tx_bytes = c.tx_bytes,
		.tx_full = c.tx_full,
		.tx_errors = c.tx_errors,
		.rx_bad = c.rx_bad,
		.rx_no_buffer = c.rx_no_frames,
		.rx_missed = c.rx_stale,
	};
	if (p->port->ops->facts)
		p->port->ops->facts(p->port, add_missed, &ret_stats->rx_missed);
	return 0;
}

/* --- receive and send ------------------------------------------------------------------------- */

/* The header of a packet that is whole: plain IPv4, no padding behind it. NULL: it is not. */
static struct ip4_hdr *whole_ip4(const struct packet *pkt)
{
	const struct eth_hdr *eth = (const struct eth_hdr *)pkt->data;
	struct ip4_hdr *ip = (struct ip4_hdr *)(pkt->data + ETH_HDR_BYTES);

	if (pkt->seg_len < ETH_HDR_BYTES + IP4_HDR_BYTES || be16_to(eth->type) != ETHERTYPE_IP4 ||
	    ip->version_ihl != 0x45 || be16_to(ip->total_len) < IP4_HDR_BYTES ||
	    be16_to(ip->total_len) != pkt->len - ETH_HDR_BYTES)
		return NULL;
	return ip;
}

static void note_unfinished(struct packet **pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct ip4_hdr *ip = whole_ip4(pkts[i]);

		if (ip && wr_l4_is_unfinished(pkts[i], ip))
			pkts[i]->flags |= PKT_CSUM_PARTIAL;
	}
}

static void finish_unfinished(struct packet **pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct ip4_hdr *ip;

		if (wr_likely(!(pkts[i]->flags & PKT_CSUM_PARTIAL)))
			continue;
		ip = whole_ip4(pkts[i]);
		if (ip && wr_l4_is_unfinished(pkts[i], ip))
			wr_l4_finish(pkts[i], ip);
		pkts[i]->flags = 0;
	}
}

static void store_beat(struct weir_queue *queue)
{
	uint64_t now_ns;

	if (!queue->beat.word)
		return;
	now_ns = wr_now_ns(queue->clock);
	if (wr_unlikely(wr_beat_is_stale(&queue->beat, now_ns)))
		queue->q->port->ops->discard(queue->q);
	wr_beat_store(&queue->beat, now_ns);
}

unsigned weir_rx(struct weir_queue *queue, struct weir_packet **ret_packets, unsigned max)
{
	struct port_queue *q = queue->q;
	unsigned n;

	store_beat(queue);
	n = wr_port_rx(q, own(ret_packets), max < WR_BURST ? max : WR_BURST);
	if (!n)
		q->port->ops->flush(q); /* what was sent comes back, the fill ring is filled */
	else if (q->port->flags & PORT_VIRTUAL)
		note_unfinished(own(ret_packets), n);
	return n;
}

unsigned weir_tx(struct weir_queue *queue, struct weir_packet **packets, unsigned n)
{
	struct port_queue *q = queue->q;
	const uint64_t n_full_before = q->counters.tx_full;

	if (n && !(q->port->flags & PORT_TX_CSUM))
		finish_unfinished(own(packets), n);
	if (n)
		wr_port_tx(q, own(packets), n);
	n -= (unsigned)(q->counters.tx_full - n_full_before);
	q->port->ops->flush(q);
	return n;
}

/* --- wait ------------------------------------------------------------------------------------- */

/* Collects what to sleep on; returns how many queues have something already. */
static int arm_queues(struct weir_queue *const *queues, unsigned n_queues, struct pollfd *fds,
		      bool *ret_has_beat, bool *ret_can_wake)
{
	int n_ready = 0;

	for (unsigned i = 0; i < n_queues; i++) {
		struct port_queue *q = queues[i]->q;

		q->port->ops->flush(q);
		wr_beat_sleep(&queues[i]->beat);
		n_ready += q->port->ops->arm && q->port->ops->arm(q);
		fds[i] = (struct pollfd){.fd = q->port->ops->fd(q), .events = POLLIN};
		*ret_has_beat |= queues[i]->beat.word != NULL;
		*ret_can_wake |= fds[i].fd >= 0;
	}
	return n_ready;
}

/* One sleep of at most `left_ns` (-1: no limit), and of MAX_SLEEP_MS if a heartbeat needs it. */
static int sleep_once(struct pollfd *fds, unsigned n, int64_t left_ns, bool has_beat)
{
	const int64_t max_ns = MAX_SLEEP_MS * (int64_t)WR_NS_PER_MS;
	struct timespec ts;
	int rc;

	if (has_beat && (left_ns < 0 || left_ns > max_ns))
		left_ns = max_ns;
	ts.tv_sec = left_ns / (int64_t)WR_NS_PER_S;
	ts.tv_nsec = left_ns % (int64_t)WR_NS_PER_S;
	rc = ppoll(fds, n, left_ns < 0 ? NULL : &ts, NULL);
	return rc < 0 ? -errno : rc;
}

/* -1: no limit. */
static int64_t left_of(int64_t timeout_ns, uint64_t passed_ns)
{
	if (timeout_ns < 0)
		return -1;
	return passed_ns < (uint64_t)timeout_ns ? timeout_ns - (int64_t)passed_ns : 0;
}

int weir_wait(struct weir_queue *const *queues, unsigned n_queues, int64_t timeout_ns)
{
	struct pollfd fds[WEIR_WAIT_QUEUES];
	uint64_t start_ns;

	if (!n_queues || n_queues > WEIR_WAIT_QUEUES)
		return -EINVAL;
	start_ns = wr_now_ns(queues[0]->clock);
	for (;;) {
		bool has_beat = false, can_wake = false;
		int64_t left_ns = left_of(timeout_ns, wr_now_ns(queues[0]->clock) - start_ns);
		int rc = arm_queues(queues, n_queues, fds, &has_beat, &can_wake);

		if (rc)
			return rc;
		if (!can_wake)
			return -ENOTSUP;
		/* Also with nothing left: some queues have only their descriptor to say it. */
		rc = sleep_once(fds, n_queues, left_ns, has_beat);
		if (rc || !left_ns)
			return rc;
	}
}

/* --- packets ---------------------------------------------------------------------------------- */

unsigned weir_packet_get(struct weir_queue *queue, struct weir_packet **ret_packets, unsigned n)
{
	const unsigned n_had = wr_pool_get(&queue->pool, own(ret_packets), n);

	for (unsigned i = 0; i < n_had; i++)
		ret_packets[i]->data += WR_HEADROOM;
	return n_had;
}

void weir_packet_put(struct weir_queue *queue, struct weir_packet **packets, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		wr_packet_free(&queue->pool, own(packets)[i]);
}

struct weir_packet *weir_packet_from(struct weir_queue *queue, const void *bytes, size_t n)
{
	return (struct weir_packet *)wr_packet_from(&queue->pool, bytes, n);
}

size_t weir_packet_copy(const struct weir_packet *packet, void *ret_bytes, size_t n)
{
	return wr_packet_copy_out((const struct packet *)packet, ret_bytes, n);
}

void weir_packet_trim(struct weir_queue *queue, struct weir_packet *packet, uint32_t len)
{
	wr_packet_trim(&queue->pool, (struct packet *)packet, len);
}

size_t weir_packet_headroom(const struct weir_queue *queue, const struct weir_packet *packet)
{
	const struct umem *umem = queue->pool.umem;

	return (size_t)(packet->data - wr_frame_base(umem, (const struct packet *)packet));
}

size_t weir_packet_room(const struct weir_queue *queue, const struct weir_packet *packet)
{
	return queue->pool.umem->frame_bytes - weir_packet_headroom(queue, packet);
}
