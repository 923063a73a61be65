/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control channel against a peer that this test plays by hand.
 */
#include "lib/port/memif_ctl.c"

#include "tests/unit/lib/port/memif_world.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { REGION_BYTES = 65536, LOG2_DESCS = 4 };

/* --- the other side --------------------------------------------------------------------------- */

struct peer {
	struct world *w;
	int sock_fd, memory_fd, event_fd;
};

static int new_memory(size_t n_bytes, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, (off_t)n_bytes), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static struct sockaddr_un address_of(const struct world *w)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	memcpy(addr.sun_path, w->socket, strlen(w->socket) + 1);
	return addr;
}

/* Waits for the next message, while the ends go on. */
static struct mif_msg hear(struct peer *p)
{
	struct mif_msg msg = {.type = MIF_NONE};
	struct pollfd fd = {.fd = p->sock_fd, .events = POLLIN};

	while (poll(&fd, 1, 0) == 0)
		turn_all(p->w, p->sock_fd);
	if (recv(p->sock_fd, &msg, sizeof(msg), 0) != (ssize_t)sizeof(msg))
		msg.type = MIF_NONE; /* it has closed */
	return msg;
}

static void expect(struct peer *p, uint16_t type)
{
	struct mif_msg msg = hear(p);

	if (msg.type == MIF_DISCONNECT && type != MIF_DISCONNECT)
		fail_msg("it says '%s'", msg.disconnect.reason);
	assert_int_equal(msg.type, type);
}

static void say(struct peer *p, const struct mif_msg *msg, int fd)
{
	assert_int_equal(wr_memif_sock_send(p->sock_fd, msg, fd), 0);
}

/* A reason, and the end. */
static void expect_end(struct peer *p, const char *reason)
{
	struct mif_msg msg = hear(p);

	assert_int_equal(msg.type, MIF_DISCONNECT);
	if (!strstr(msg.disconnect.reason, reason))
		fail_msg("'%s' does not say '%s'", msg.disconnect.reason, reason);
	assert_int_equal(hear(p).type, MIF_NONE);
}

static struct peer connect_peer(struct world *w)
{
	const struct sockaddr_un addr = address_of(w);
	struct peer p = {.w = w,
			 .sock_fd = socket(AF_UNIX, SOCK_SEQPACKET, 0),
			 .memory_fd = new_memory(REGION_BYTES, F_SEAL_SHRINK),
			 .event_fd = eventfd(0, EFD_NONBLOCK)};

	assert_int_equal(connect(p.sock_fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	expect(&p, MIF_HELLO);
	return p;
}

static void end_peer(struct peer *p)
{
	close(p->sock_fd);
	close(p->memory_fd);
	close(p->event_fd);
}

static struct mif_msg init_msg(void)
{
	struct mif_msg msg = {.type = MIF_INIT};

	msg.init.version = MIF_VERSION;
	return msg;
}

static struct mif_msg region_msg(void)
{
	struct mif_msg msg = {.type = MIF_ADD_REGION};

	msg.add_region.n_bytes = REGION_BYTES;
	return msg;
}

static struct mif_msg ring_msg(void)
{
	struct mif_msg msg = {.type = MIF_ADD_RING};

	msg.add_ring.flags = MIF_ADD_RING_C2S;
	msg.add_ring.log2_descs = LOG2_DESCS;
	return msg;
}

/* As far as regions and rings go; `n` of INIT, ADD_REGION, ADD_RING. */
static struct peer peer_after(struct world *w, unsigned n)
{
	const struct mif_msg msgs[] = {init_msg(), region_msg(), ring_msg()};
	struct peer p = connect_peer(w);

	for (unsigned i = 0; i < n; i++) {
		say(&p, &msgs[i], i == 1 ? p.memory_fd : i == 2 ? p.event_fd : -1);
		expect(&p, MIF_ACK);
	}
	return p;
}

/* --- what a client may not say ---------------------------------------------------------------- */

struct bad {
	unsigned after;
	uint16_t type, field_at;
	uint8_t field_bytes;
	uint64_t value;
	const char *reason;
};

#define FIELD(name) offsetof(struct mif_msg, name), sizeof(((struct mif_msg *)0)->name)

static const struct bad bad[] = {
	{0, MIF_INIT, FIELD(init.version), 0x100, "memif version 1.0: use 2.0"},
	{0, MIF_INIT, FIELD(init.id), 7, "no id 7 here: this socket serves id 0 only"},
	{0, MIF_INIT, FIELD(init.mode), 1, "mode 1: use mode ethernet"},
	{0, MIF_ADD_REGION, FIELD(type), MIF_ADD_REGION, "type 4 is not expected now"},
	{0, MIF_CONNECT, FIELD(type), MIF_CONNECT, "type 6 is not expected now"},
	{0, MIF_HELLO, FIELD(type), MIF_HELLO, "type 2 is not expected now"},
	{0, MIF_NONE, FIELD(type), 9, "type 9 is not expected now"},
	{1, MIF_INIT, FIELD(type), MIF_INIT, "type 3 is not expected now"},
	{1, MIF_ACK, FIELD(type), MIF_ACK, "type 1 is not expected now"},
	{1, MIF_ADD_REGION, FIELD(add_region.region_idx), 1, "region 1 where 0 comes next"},
	{1, MIF_ADD_REGION, FIELD(add_region.n_bytes), 0, "regions must have 1 byte to 512 MiB"},
	{1, MIF_ADD_REGION, FIELD(add_region.n_bytes), UINT64_MAX, "regions must have 1 byte to"},
	{1, MIF_ADD_REGION, FIELD(add_region.n_bytes), REGION_BYTES + 1, "smaller than it is said"},
	{1, MIF_ADD_RING, FIELD(add_ring.offset), 0, "a ring in region 0, which is not there"},
	{2, MIF_ADD_RING, FIELD(add_ring.ring_idx), 1, "ring 1: this side has 1 queues"},
	{2, MIF_ADD_RING, FIELD(add_ring.region_idx), 1, "a ring in region 1, which is not there"},
	{2, MIF_ADD_RING, FIELD(add_ring.log2_descs), 15, "a ring of 2^15 slots: 2^14 at most"},
	{2, MIF_ADD_RING, FIELD(add_ring.log2_descs), 14, "a ring at 0 of a region of 65536 bytes"},
	{2, MIF_ADD_RING, FIELD(add_ring.offset), 8, "a ring at 8 of a region of 65536 bytes"},
	{2, MIF_ADD_RING, FIELD(add_ring.offset), REGION_BYTES - 16, "a ring at 65520 of a region"},
	{2, MIF_ADD_RING, FIELD(add_ring.offset), UINT32_MAX - 15, "a ring at 4294967280 of"},
	{3, MIF_ADD_RING, FIELD(add_ring.offset), 0, "ring 0 was added before"},
	{3, MIF_CONNECT, FIELD(type), MIF_CONNECT, "ring 0 has no cookie"},
};

static struct mif_msg msg_of(uint16_t type)
{
	return type == MIF_INIT         ? init_msg()
	       : type == MIF_ADD_REGION ? region_msg()
	       : type == MIF_ADD_RING   ? ring_msg()
					: (struct mif_msg){.type = type};
}

static void what_may_not_be_said_is_answered(void **state)
{
	struct world *w = *state;

	open_end(w, 0, ",role=server");
	for (unsigned i = 0; i < wr_array_size(bad); i++) {
		struct peer p = peer_after(w, bad[i].after);
		struct mif_msg msg = msg_of(bad[i].type);

		memcpy((uint8_t *)&msg + bad[i].field_at, &bad[i].value, bad[i].field_bytes);
		say(&p, &msg,
		    bad[i].type == MIF_ADD_REGION ? p.memory_fd
		    : bad[i].type == MIF_ADD_RING ? p.event_fd
						  : -1);
		expect_end(&p, bad[i].reason);
		assert_int_equal(fact_of(w->ends[0], "n_protocol_errors"), i + 1);
		end_peer(&p);
	}
	open_end(w, 1, ""); /* none of that was to its harm */
	await(w, 1, true);
}

static void a_message_has_its_size(void **state)
{
	struct world *w = *state;
	static const size_t sizes[] = {1, 127, 129, 1000};
	uint8_t bytes[1000] = {MIF_INIT};

	open_end(w, 0, ",role=server");
	for (unsigned i = 0; i < wr_array_size(sizes); i++) {
		struct peer p = connect_peer(w);

		assert_int_equal(send(p.sock_fd, bytes, sizes[i], 0), sizes[i]);
		expect_end(&p, "bytes: they have 128");
		end_peer(&p);
	}
}

/* Descriptors of a kind that would harm who uses them, or none at all. */
static void a_region_must_be_safe_to_touch(void **state)
{
	struct world *w = *state;
	const struct mif_msg msg = region_msg();
	int huge = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	const struct {
		int fd;
		const char *reason;
	} fds[] = {
		{-1, "a region came without its descriptor"},
		{open("/dev/zero", O_RDWR | O_CLOEXEC), "a region must be a memfd"},
		{new_memory(REGION_BYTES, F_SEAL_GROW), "sealed against shrinking"},
		{new_memory(REGION_BYTES, F_SEAL_SHRINK | F_SEAL_WRITE), "cannot be mapped"},
		{huge, "a region in huge pages is not taken"},
	};

	open_end(w, 0, ",role=server");
	(void)fcntl(huge, F_ADD_SEALS, F_SEAL_SHRINK);
	for (unsigned i = 0; i < wr_array_size(fds); i++) {
		struct peer p = peer_after(w, 1);

		say(&p, &msg, fds[i].fd);
		expect_end(&p, fds[i].reason);
		end_peer(&p);
		if (fds[i].fd >= 0)
			close(fds[i].fd);
	}
}

static void an_interrupt_must_be_an_eventfd(void **state)
{
	struct world *w = *state;
	const struct mif_msg msg = ring_msg();
	struct peer p;

	open_end(w, 0, ",role=server");
	p = peer_after(w, 2);
	say(&p, &msg, p.memory_fd);
	expect_end(&p, "a ring's interrupt must be an eventfd");
	end_peer(&p);
	p = peer_after(w, 2);
	say(&p, &msg, -1);
	expect_end(&p, "a ring came without its interrupt's descriptor");
	end_peer(&p);
}

/* A counter that is full, and a write() to it that would wait. */
static void an_interrupt_does_not_wait(void **state)
{
	struct world *w = *state;
	const uint64_t full = UINT64_MAX - 1;
	struct memif_bell *bell;
	uint64_t n = 0;
	int fd = eventfd(0, 0);

	open_end(w, 0, "");
	bell = &((struct memif_port *)w->ends[0])->queues[0].bell;
	for (unsigned i = 0; i < 1000; i++) /* more than are reaped at once */
		assert_int_equal(wr_memif_bell_ring(bell, fd), 0);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 1000);
	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	assert_int_equal(wr_memif_bell_ring(bell, fd), 0);
	close(fd);
	assert_int_equal(wr_memif_bell_ring(bell, fd), -EBADF);
}

/* More descriptors than one, or one where none belongs: the teardown counts what is left. */
static void surplus_descriptors_are_closed(void **state)
{
	struct world *w = *state;
	struct mif_msg msg = init_msg();
	char control[CMSG_SPACE(3 * sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec iov = {&msg, sizeof(msg)};
	struct msghdr mh = {.msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&mh);
	struct peer p;
	int fds[3];

	open_end(w, 0, ",role=server");
	p = connect_peer(w);
	fds[0] = fds[1] = fds[2] = p.event_fd;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(cmsg), fds, sizeof(fds));
	assert_int_equal(sendmsg(p.sock_fd, &mh, 0), sizeof(msg));
	expect(&p, MIF_ACK);
	end_peer(&p);
	await(w, 0, false);
}

static void who_says_nothing_is_sent_away(void **state)
{
	struct world *w = *state;
	struct peer p;

	open_end(w, 0, ",role=server");
	p = connect_peer(w);
	expect_end(&p, "the connection was not made in time");
	end_peer(&p);
}

/* Without a descriptor left nobody can be let in. It must not ask again and again meanwhile. */
static void without_descriptors_it_sleeps(void **state)
{
	struct world *w = *state;
	const struct sockaddr_un addr = address_of(w);
	struct peer p = {.w = w, .sock_fd = socket(AF_UNIX, SOCK_SEQPACKET, 0)};
	struct rlimit all, few;
	unsigned n = 0;

	open_end(w, 0, ",role=server");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	few = all;
	few.rlim_cur = (rlim_t)p.sock_fd; /* every number below is taken */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(connect(p.sock_fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	for (struct packet *pkt; n < 100 && is_readable(queue_of(w, 0, 0), 0); n++) {
		(void)queue_of(w, 0, 0)->port->ops->arm(queue_of(w, 0, 0));
		assert_int_equal(wr_port_rx(queue_of(w, 0, 0), &pkt, 1), 0);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
	assert_in_range(n, 1, 99);
	expect(&p, MIF_HELLO); /* it has tried again by itself */
	close(p.sock_fd);
}

/* A file that nobody but the owner, and whom its umask lets, may connect to. */
static void others_may_not_connect(void **state)
{
	struct world *w = *state;
	const mode_t masks[] = {0, 022, 077};
	struct stat st;

	for (unsigned i = 0; i < wr_array_size(masks); i++) {
		const mode_t before = umask(masks[i]);

		open_end(w, 0, ",role=server");
		umask(before);
		assert_int_equal(stat(w->socket, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0660 & ~masks[i]);
		close_end(w, 0);
	}
}

/* --- what a server may not say ---------------------------------------------------------------- */

static int listen_as_server(struct world *w)
{
	const struct sockaddr_un addr = address_of(w);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static struct peer accept_client(struct world *w, int listener)
{
	struct pollfd fd = {.fd = listener, .events = POLLIN};

	while (poll(&fd, 1, 0) == 0)
		turn_all(w, listener);
	return (struct peer){
		.w = w, .sock_fd = accept(listener, NULL, NULL), .memory_fd = -1, .event_fd = -1};
}

static struct mif_msg hello_msg(void)
{
	struct mif_msg msg = {.type = MIF_HELLO};

	msg.hello.min_version = MIF_VERSION;
	msg.hello.max_version = MIF_VERSION;
	msg.hello.max_log2_descs = 3; /* fewer than it would have */
	return msg;
}

static void a_client_takes_what_it_is_offered(void **state)
{
	struct world *w = *state;
	int listener = listen_as_server(w);
	struct mif_msg msg = hello_msg();
	struct peer p;

	open_end(w, 0, ",queues=4");
	p = accept_client(w, listener);
	say(&p, &msg, -1);
	expect(&p, MIF_INIT);
	for (unsigned i = 0; i < 3; i++) {
		say(&p, &(struct mif_msg){.type = MIF_ACK}, -1);
		msg = hear(&p);
		assert_int_equal(msg.type, i ? MIF_ADD_RING : MIF_ADD_REGION);
	}
	assert_int_equal(msg.add_ring.log2_descs, 3); /* the second and last ring */
	say(&p, &(struct mif_msg){.type = MIF_ACK}, -1);
	expect(&p, MIF_CONNECT);
	assert_false(is_connected(w->ends[0]));
	say(&p, &(struct mif_msg){.type = MIF_CONNECTED}, -1);
	await(w, 0, true);
	close(p.sock_fd);
	close(listener);
	await(w, 0, false);
	assert_int_equal(unlink(w->socket), 0);
}

static void a_client_does_not_take_everything(void **state)
{
	struct world *w = *state;
	int listener = listen_as_server(w);
	struct mif_msg old = hello_msg(), too_new = hello_msg();
	const struct {
		struct mif_msg msg;
		const char *reason;
	} msgs[] = {
		{(old.hello.max_version = 0x100, old), "memif versions 2.0 to 1.0: use 2.0"},
		{(too_new.hello.min_version = 0x201, too_new),
		 "memif versions 2.1 to 2.0: use 2.0"},
		{{.type = MIF_ACK}, "type 1 is not expected now"},
		{{.type = MIF_CONNECTED}, "type 7 is not expected now"},
		{{.type = MIF_INIT}, "type 3 is not expected now"},
	};

	open_end(w, 0, "");
	for (unsigned i = 0; i < wr_array_size(msgs); i++) { /* it comes again each time */
		struct peer p = accept_client(w, listener);

		say(&p, &msgs[i].msg, -1);
		expect_end(&p, msgs[i].reason);
		close(p.sock_fd);
	}
	close(listener);
	assert_int_equal(unlink(w->socket), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_may_not_be_said_is_answered),
		TEST(a_message_has_its_size),
		TEST(a_region_must_be_safe_to_touch),
		TEST(an_interrupt_must_be_an_eventfd),
		TEST(an_interrupt_does_not_wait),
		TEST(surplus_descriptors_are_closed),
		TEST(who_says_nothing_is_sent_away),
		TEST(without_descriptors_it_sleeps),
		TEST(others_may_not_connect),
		TEST(a_client_takes_what_it_is_offered),
		TEST(a_client_does_not_take_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
