/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile memif peer, in either role. The port is real, and so are the socket, the memfd and the
 * eventfds. Around each region that the port maps lies a page that nobody can touch, so that a byte
 * beyond it is a crash.
 *
 * Input: a byte for the role of the port (bit 0), whether the peer is to connect in good order
 * first (bit 1) and the size of the rings; then actions, a byte each with what it needs behind it:
 * any message with any descriptor, any bytes into the shared memory, indices, packets to send,
 * receiving, sleeping. Afterwards all frames must be back and each packet have been valid.
 */
#include "lib/port/memif_private.h"
#include "lib/port/spec.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { N_FRAMES = 512, REGION_BYTES = 32768, N_QUEUES = 2, MAX_ACTIONS = 200, BURST = 16 };

/* The world of one input. */
struct fuzz {
	const uint8_t *data;
	size_t n;
	struct pool *pool;
	struct port *port;
	bool is_server; /* the port */
	int listener_fd, sock_fd, memory_fd, event_fd;
	uint8_t *memory; /* the region as the peer has it */
	size_t n_memory_bytes;
	unsigned log2_descs;
};

static uint64_t take(struct fuzz *f, unsigned n_bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < n_bytes && f->n; i++, f->data++, f->n--)
		value |= (uint64_t)*f->data << (8 * i);
	return value;
}

static void take_bytes(struct fuzz *f, void *to, size_t n)
{
	if (n > f->n)
		n = f->n;
	memcpy(to, f->data, n);
	f->data += n;
	f->n -= n;
}

/* Several fuzzers may run on one machine. */
static void print_name(const struct fuzz *f, char *name, size_t n)
{
	snprintf(name, n, "weir-fuzz-%d-%d-%u", getpid(), f->is_server, f->log2_descs);
}

static struct sockaddr_un address(const struct fuzz *f, socklen_t *ret_bytes)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	print_name(f, addr.sun_path + 1, sizeof(addr.sun_path) - 1);
	*ret_bytes =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(addr.sun_path + 1));
	return addr;
}

/* --- the port --------------------------------------------------------------------------------- */

/* One for each kind, used by one input after the other: closing one takes long. */
static void open_port(struct fuzz *f, struct umem *umem)
{
	static struct port *ports[2][2];
	static struct pool pools[2][2];
	struct port **port = &ports[f->is_server][f->log2_descs & 1];
	char name[60], text[PORT_SPEC_BYTES];
	struct port_args args;
	struct wr_err err = {""};

	f->pool = &pools[f->is_server][f->log2_descs & 1];
	if (!*port) {
		print_name(f, name, sizeof(name));
		snprintf(text, sizeof(text), "memif:@%s,queues=%u,descs=%u,buffer=256,role=%s",
			 name, N_QUEUES, 1U << f->log2_descs, f->is_server ? "server" : "client");
		if (wr_port_parse(text, &args, &err) || wr_port_open(umem, &args, port, &err)) {
			fprintf(stderr, "%s\n", err.text);
			abort();
		}
		wr_pool_init(f->pool, umem);
	}
	f->port = *port;
	for (unsigned i = 0; i < N_QUEUES; i++)
		f->port->queues[i]->pool = f->pool;
}

static void check_packet(const struct packet *pkt)
{
	uint32_t n_bytes = 0;
	unsigned n_segs = 0;

	for (const struct packet *seg = pkt; seg; seg = seg->next) {
		n_bytes += seg->seg_len;
		n_segs++;
	}
	if (n_bytes != pkt->len || n_segs != pkt->n_segs || n_segs > WR_MAX_SEGS || n_bytes < 14)
		abort();
}

static void receive(struct fuzz *f)
{
	for (unsigned i = 0; i < N_QUEUES; i++) {
		struct packet *pkts[BURST];
		unsigned n = wr_port_rx(f->port->queues[i], pkts, BURST);

		while (n) {
			check_packet(pkts[--n]);
			wr_packet_free(f->pool, pkts[n]);
		}
	}
}

static void send_packet(struct fuzz *f, unsigned queue, size_t n_bytes)
{
	static const uint8_t bytes[16384];
	struct packet *pkt = wr_packet_from(f->pool, bytes, n_bytes % sizeof(bytes) + 1);
	struct port_queue *q = f->port->queues[queue % N_QUEUES];

	if (pkt)
		wr_port_tx(q, &pkt, 1);
	q->port->ops->flush(q);
}

/* Each queue sees to its events, as before a sleep; twice, since one may have to wait for the
 * other. */
static void turn(struct fuzz *f)
{
	for (unsigned i = 0; i < 2 * N_QUEUES; i++)
		(void)f->port->ops->arm(f->port->queues[i % N_QUEUES]);
}

/* --- the peer --------------------------------------------------------------------------------- */

/* What the port says; a region that it passes is the peer's to write to. */
static uint16_t hear(struct fuzz *f)
{
	struct mif_msg msg = {.type = MIF_NONE};
	int fd;

	if (f->sock_fd < 0 || wr_memif_sock_receive(f->sock_fd, &msg, &fd) <= 0)
		return MIF_NONE;
	if (msg.type == MIF_ADD_REGION && fd >= 0 && !f->memory) {
		f->n_memory_bytes = msg.add_region.n_bytes;
		f->memory =
			mmap(NULL, f->n_memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (f->memory == MAP_FAILED)
			abort();
	}
	if (fd >= 0)
		close(fd);
	return msg.type;
}

static void say(struct fuzz *f, const struct mif_msg *msg, int fd)
{
	if (f->sock_fd >= 0)
		(void)wr_memif_sock_send(f->sock_fd, msg, fd);
	turn(f);
}

static void meet(struct fuzz *f)
{
	socklen_t n;
	const struct sockaddr_un addr = address(f, &n);

	if (f->sock_fd >= 0)
		close(f->sock_fd);
	f->sock_fd = -1;
	turn(f);
	if (f->is_server) {
		f->sock_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
		(void)connect(f->sock_fd, (const struct sockaddr *)&addr, n);
		turn(f);
		return;
	}
	if (f->memory) { /* of the connection before */
		munmap(f->memory, f->n_memory_bytes);
		f->memory = NULL;
	}
	/* As if its timer had gone off. */
	if (((struct memif_port *)f->port)->ctl.sock_fd < 0) {
		const struct itimerspec now = {.it_value.tv_nsec = 1};
		struct memif_ctl *ctl = &((struct memif_port *)f->port)->ctl;

		(void)timerfd_settime(ctl->timer_fd, 0, &now, NULL);
		turn(f);
		turn(f);
	}
	f->sock_fd = accept4(f->listener_fd, NULL, NULL, SOCK_NONBLOCK);
}

static struct mif_msg ring_msg(const struct fuzz *f, unsigned n)
{
	struct mif_msg msg = {.type = MIF_ADD_RING};

	msg.add_ring.flags = n & 1 ? MIF_ADD_RING_C2S : 0;
	msg.add_ring.ring_idx = (uint16_t)(n / 2);
	msg.add_ring.offset = n * 1024;
	msg.add_ring.log2_descs = (uint8_t)f->log2_descs;
	return msg;
}

/* As a client: rings at 0, 1024, 2048 and 3072, buffers behind them. */
static void connect_as_client(struct fuzz *f)
{
	struct mif_msg msg = {.type = MIF_INIT};

	msg.init.version = MIF_VERSION;
	say(f, &msg, -1);
	msg = (struct mif_msg){.type = MIF_ADD_REGION};
	msg.add_region.n_bytes = REGION_BYTES;
	say(f, &msg, f->memory_fd);
	for (unsigned i = 0; i < 2 * N_QUEUES; i++) {
		struct mif_ring *ring = (void *)(f->memory + i * 1024);

		ring->cookie = MIF_COOKIE;
		for (unsigned k = 0; k < 1U << f->log2_descs; k++)
			ring->descs[k] =
				(struct mif_desc){.n_bytes = 256, .offset = 4096 + k * 256};
		if (!(i & 1))
			ring->head = (uint16_t)(1U << f->log2_descs);
		msg = ring_msg(f, i);
		say(f, &msg, f->event_fd);
	}
	say(f, &(struct mif_msg){.type = MIF_CONNECT}, -1);
}

static void connect_as_server(struct fuzz *f)
{
	struct mif_msg msg = {.type = MIF_HELLO};

	msg.hello.min_version = MIF_VERSION;
	msg.hello.max_version = MIF_VERSION;
	msg.hello.max_c2s_ring_idx = msg.hello.max_s2c_ring_idx = N_QUEUES - 1;
	msg.hello.max_log2_descs = (uint8_t)f->log2_descs;
	say(f, &msg, -1);
	for (unsigned i = 0; i < 3 + 2 * N_QUEUES; i++) {
		uint16_t type = hear(f);

		if (type == MIF_NONE)
			return;
		msg = (struct mif_msg){.type = type == MIF_CONNECT ? MIF_CONNECTED : MIF_ACK};
		say(f, &msg, -1);
	}
}

/* Any message, with one of the descriptors that it may have or with one that it may not. */
static void act_message(struct fuzz *f)
{
	const int fds[] = {-1, f->memory_fd, f->event_fd, f->sock_fd};
	struct mif_msg msg = {.type = (uint16_t)(take(f, 1) % (MIF_N_TYPES + 1))};
	const unsigned fd = take(f, 1) % wr_array_size(fds);

	take_bytes(f, msg.bytes, take(f, 1) % sizeof(msg.bytes));
	say(f, &msg, fds[fd]);
	while (hear(f) != MIF_NONE)
		;
}

static void act_short_message(struct fuzz *f)
{
	uint8_t bytes[256] = {0};
	size_t n = take(f, 1);

	take_bytes(f, bytes, n);
	if (f->sock_fd >= 0)
		(void)send(f->sock_fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	turn(f);
}

static void act_write(struct fuzz *f)
{
	const size_t at = take(f, 2), n = take(f, 1) % 32;

	if (f->memory && at + n <= f->n_memory_bytes)
		take_bytes(f, f->memory + at, n);
}

/* A descriptor and the index that tells of it. */
static void act_packet(struct fuzz *f)
{
	const size_t ring_bytes = f->is_server ? 1024 : 128 + (16U << f->log2_descs);
	const size_t at = take(f, 1) % 4 * ring_bytes;
	struct mif_ring *ring;
	struct mif_desc d = {.flags = (uint16_t)take(f, 1)};
	uint16_t *own;

	d.region_idx = (uint16_t)(take(f, 1) % 3);
	d.n_bytes = (uint32_t)take(f, 2);
	d.offset = (uint32_t)take(f, 2);
	if (!f->memory || at + ring_bytes > f->n_memory_bytes)
		return;
	ring = (void *)(f->memory + at);
	own = f->is_server ? &ring->head : &ring->tail;
	ring->descs[*own & ((1U << f->log2_descs) - 1)] = d;
	*own = (uint16_t)(*own + 1);
}

static void act(struct fuzz *f)
{
	switch (take(f, 1) % 10) {
	case 0:
		act_message(f);
		break;
	case 1:
		act_short_message(f);
		break;
	case 2:
	case 3:
		act_write(f);
		break;
	case 4:
	case 5:
		act_packet(f);
		break;
	case 6:
		send_packet(f, (unsigned)take(f, 1), (size_t)take(f, 2));
		break;
	case 7:
		turn(f);
		break;
	case 8:
		meet(f);
		break;
	default:
		receive(f);
		break;
	}
}

static void open_peer(struct fuzz *f)
{
	socklen_t n;
	const struct sockaddr_un addr = address(f, &n);

	f->sock_fd = -1;
	f->listener_fd = -1;
	f->event_fd = eventfd(0, EFD_NONBLOCK);
	f->memory_fd = memfd_create("fuzz", MFD_ALLOW_SEALING);
	if (ftruncate(f->memory_fd, REGION_BYTES) ||
	    fcntl(f->memory_fd, F_ADD_SEALS, F_SEAL_SHRINK))
		abort();
	if (f->is_server) {
		f->n_memory_bytes = REGION_BYTES;
		f->memory = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
				 f->memory_fd, 0);
		return;
	}
	f->listener_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	if (bind(f->listener_fd, (const struct sockaddr *)&addr, n) || listen(f->listener_fd, 4))
		abort();
}

/* It has gone, and the port has seen that. */
static void close_peer(struct fuzz *f)
{
	const struct memif_port *mp = (const struct memif_port *)f->port;
	const int fds[] = {f->sock_fd, f->listener_fd, f->event_fd, f->memory_fd};

	for (unsigned i = 0; i < wr_array_size(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (f->memory)
		munmap(f->memory, f->n_memory_bytes);
	turn(f);
	if (mp->link || mp->ctl.link || mp->ctl.dying || mp->ctl.sock_fd >= 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct umem *umem;
	struct fuzz f = {.data = data, .n = n};
	const unsigned head = (unsigned)take(&f, 1);

	if (!umem && wr_umem_create(&(struct umem_conf){.n_frames = N_FRAMES, .frame_bytes = 2048},
				    &umem, NULL))
		abort();
	f.is_server = head & 1;
	f.log2_descs = 4 + (head >> 2) % 2;
	open_peer(&f);
	open_port(&f, umem);
	meet(&f);
	if (head & 2 && f.is_server)
		connect_as_client(&f);
	else if (head & 2)
		connect_as_server(&f);
	for (unsigned i = 0; i < MAX_ACTIONS && f.n; i++)
		act(&f);
	receive(&f);
	close_peer(&f);
	wr_pool_fini(f.pool);
	if (wr_umem_audit(umem) != N_FRAMES)
		abort();
	return 0;
}
