/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Captures as a port: packets come out of the file IN, and those that are sent go into the file
 * OUT. Either may be left out: without IN nothing comes, without OUT what is sent is refused.
 *
 * Reading is libpcap's, so IN may be a pcap or a pcapng. Its times are not looked at: rx() gives
 * packets as fast as they are asked for. One is always read ahead, since a file's end shows only
 * then, and arm() must know it: a port without a descriptor wakes nobody.
 *
 * OUT is a classic pcap, and the time in it is the packet's number, in microseconds: the same
 * packets give the same bytes in every run, so a file can be compared with one that was kept.
 *
 * OUT is whole or nobody is told that it is. Packets count as written once flush() has seen them
 * into the file; when a write fails, those since the last flush() and all after are errors, and the
 * file is cut back to where it was whole. It stays so: a file with a gap would be worse.
 *
 * OUT is locked (flock) as long as the port is open, and IN for reading, so that of two ports, or
 * two programs of ours, none writes into what the other reads or writes.
 *
 * Both are files. A pipe would have its worker wait for a stranger, and one whose reader has gone
 * would end the process; "-" is the name of a file. /dev/stdin and /dev/stdout do where the shell
 * has redirected them to files.
 */
#include "lib/base/alloc.h"
#include "lib/port/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SNAP_BYTES = 262144, /* said in OUT's header: what libpcap takes for no limit */
	US_PER_S = 1000000,
};

struct pcap_in {
	char path[PORT_SPEC_BYTES];
	pcap_t *pcap; /* NULL: none, or at its end */
	/* The packet read ahead; libpcap's memory until the next is read. */
	struct pcap_pkthdr *next;
	const u_char *bytes;
	bool has_next;
	bool is_broken;  /* the file ends in the middle or is damaged */
	bool is_waiting; /* for frames; counted once a packet */
	uint32_t n_passes_left;
	bool is_endless;
	uint64_t n_read;
};

struct pcap_out {
	pcap_t *form;          /* what libpcap wants to know of a file that it writes */
	pcap_dumper_t *dumper; /* NULL: none */
	uint8_t *flat;         /* room for a packet of several segments */
	size_t flat_bytes;
	off_t whole_bytes; /* of the file, at the last flush() */
	uint64_t n_written, n_unflushed;
	uint64_t write_errno; /* 0: no write has failed */
};

struct pcap_port {
	struct port port;
	struct port_queue q;
	struct pcap_in in;
	struct pcap_out out;
	size_t max_bytes; /* of a packet */
};

static struct pcap_port *pcap_port(const struct port_queue *q)
{
	return (struct pcap_port *)q->port;
}

static int pcap_start(struct port_queue *q)
{
	(void)q;
	return 0;
}

/* --- IN --------------------------------------------------------------------------------------- */

/* Closes `fd` and sets errno. */
static FILE *refuse(int fd, int why)
{
	close(fd);
	errno = why;
	return NULL;
}

/* Whether another port has the file so that this one cannot. Where a file system has no locks none
 * is asked for. */
static bool is_taken(int fd, int how)
{
	return flock(fd, how | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* A regular file for reading, since libpcap would wait for the other end of a pipe. NULL: errno. */
static FILE *open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	FILE *file;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return refuse(fd, ESPIPE);
	if (is_taken(fd, LOCK_SH))
		return refuse(fd, EBUSY);
	file = fdopen(fd, "rb");
	return file ? file : refuse(fd, errno);
}

static int open_pcap(const char *path, pcap_t **ret_pcap, char *ret_why)
{
	FILE *file = open_file(path);

	if (!file)
		return -errno;
	*ret_pcap = pcap_fopen_offline(file, ret_why);
	if (*ret_pcap)
		return 0;
	(void)fclose(file);
	return -EBADMSG;
}

static void close_in(struct pcap_in *in)
{
	if (in->pcap)
		pcap_close(in->pcap);
	in->pcap = NULL;
}

/* From the start again, if it is to be read once more. */
static bool rewind_in(struct pcap_in *in)
{
	char why[PCAP_ERRBUF_SIZE];

	close_in(in);
	if (!in->is_endless && --in->n_passes_left == 0)
		return false;
	if (!open_pcap(in->path, &in->pcap, why))
		return true;
	in->is_broken = true;
	return false;
}

/* True if there is a packet. */
static bool read_record(struct pcap_in *in)
{
	int rc = in->pcap ? pcap_next_ex(in->pcap, &in->next, &in->bytes) : PCAP_ERROR_BREAK;

	in->is_broken |= rc == PCAP_ERROR;
	return rc == 1;
}

/* A file without a packet is not read for ever. */
static void look_ahead(struct pcap_in *in)
{
	bool has_next = read_record(in);

	if (!has_next && !in->is_broken && in->pcap && rewind_in(in))
		has_next = read_record(in);
	__atomic_store_n(&in->has_next, has_next, __ATOMIC_RELAXED);
	if (!has_next)
		close_in(in);
}

/* The packet read ahead; NULL: not a whole one, or no frames for it. */
static struct packet *take_next(struct pcap_port *p, bool *ret_is_bad)
{
	const struct pcap_pkthdr *next = p->in.next;

	*ret_is_bad = !next->caplen || next->caplen != next->len || next->len > p->max_bytes;
	return *ret_is_bad ? NULL : wr_packet_from(p->q.pool, p->in.bytes, next->caplen);
}

static void step(struct pcap_port *p)
{
	p->in.is_waiting = false;
	wr_count(&p->in.n_read, 1);
	look_ahead(&p->in);
	if (wr_unlikely(p->in.is_broken))
		wr_count(&p->q.counters.rx_bad, 1);
}

static unsigned pcap_rx(struct port_queue *q, struct packet **ret_pkts, unsigned max)
{
	struct pcap_port *p = pcap_port(q);
	unsigned n = 0, n_bad = 0;
	uint64_t n_bytes = 0;
	bool is_bad;

	while (n + n_bad < max && p->in.has_next) {
		struct packet *pkt = take_next(p, &is_bad);

		if (!pkt && !is_bad) {
			wr_count(&q->counters.rx_no_frames, !p->in.is_waiting);
			p->in.is_waiting = true;
			break;
		}
		if (pkt) {
			pkt->rx_port = q->port->port_idx;
			n_bytes += pkt->len;
			ret_pkts[n++] = pkt;
		}
		n_bad += is_bad;
		step(p);
	}
	wr_count(&q->counters.rx_pkts, n);
	wr_count(&q->counters.rx_bytes, n_bytes);
	wr_count(&q->counters.rx_bad, n_bad);
	return n;
}

static int pcap_fd(const struct port_queue *q)
{
	(void)q;
	return -1;
}

static bool pcap_arm(struct port_queue *q)
{
	return pcap_port(q)->in.has_next;
}

/* --- OUT -------------------------------------------------------------------------------------- */

/* Cuts off what may be half a packet; what stdio could not write it has forgotten (glibc's and
 * musl's). Returns how many packets are lost. */
static uint64_t fail_out(struct pcap_out *out)
{
	uint64_t n_lost = out->n_unflushed;

	__atomic_store_n(&out->write_errno, errno ? (uint64_t)errno : EIO, __ATOMIC_RELAXED);
	(void)!ftruncate(fileno(pcap_dump_file(out->dumper)),
			 out->whole_bytes); /* a device has no length */
	out->n_unflushed = 0;
	return n_lost;
}

static bool write_packet(struct pcap_out *out, const struct packet *pkt)
{
	const uint64_t number = out->n_written + out->n_unflushed;
	const struct pcap_pkthdr hdr = {
		.ts = {.tv_sec = (time_t)(number / US_PER_S),
		       .tv_usec = (suseconds_t)(number % US_PER_S)},
		.caplen = pkt->len,
		.len = pkt->len,
	};
	const uint8_t *bytes = pkt->data;

	if (pkt->next) {
		wr_packet_copy_out(pkt, out->flat, out->flat_bytes);
		bytes = out->flat;
	}
	pcap_dump((u_char *)out->dumper, &hdr, bytes);
	return !ferror(pcap_dump_file(out->dumper));
}

/* Returns how many packets are lost by this one. */
static uint64_t send_packet(struct pcap_out *out, const struct packet *pkt)
{
	if (!out->dumper || out->write_errno || pkt->len > out->flat_bytes)
		return 1;
	if (!write_packet(out, pkt))
		return fail_out(out) + 1;
	out->n_unflushed++;
	return 0;
}

static void pcap_tx(struct port_queue *q, struct packet **pkts, unsigned n)
{
	struct pcap_port *p = pcap_port(q);
	uint64_t n_bytes = 0, n_lost = 0;

	for (unsigned i = 0; i < n; i++) {
		n_bytes += pkts[i]->len;
		n_lost += send_packet(&p->out, pkts[i]);
		wr_packet_free(q->pool, pkts[i]);
	}
	wr_count(&q->counters.tx_pkts, n);
	wr_count(&q->counters.tx_bytes, n_bytes);
	wr_count(&q->counters.tx_errors, n_lost);
}

/* True if the file is whole. */
static bool flush_out(struct pcap_out *out)
{
	if (pcap_dump_flush(out->dumper) < 0)
		return false;
	out->whole_bytes = (off_t)pcap_dump_ftell64(out->dumper);
	wr_count(&out->n_written, out->n_unflushed);
	out->n_unflushed = 0;
	return true;
}

static void pcap_flush(struct port_queue *q)
{
	struct pcap_out *out = &pcap_port(q)->out;

	if (!out->n_unflushed)
		return;
	wr_count(&q->counters.tx_kicks, 1);
	if (!flush_out(out))
		wr_count(&q->counters.tx_errors, fail_out(out));
}

static void close_out(struct pcap_out *out)
{
	if (out->dumper)
		pcap_dump_close(out->dumper);
	if (out->form)
		pcap_close(out->form);
	free(out->flat);
}

/* --- both ------------------------------------------------------------------------------------- */

/* Nothing lies anywhere between two calls but in OUT's buffer, as bytes. */
static uint32_t pcap_n_frames(const struct port_queue *q)
{
	(void)q;
	return 0;
}

static void pcap_close_port(struct port *port)
{
	struct pcap_port *p = (struct pcap_port *)port;

	if (p->out.dumper)
		pcap_flush(&p->q);
	close_in(&p->in);
	close_out(&p->out);
	free(p);
}

static void pcap_facts(const struct port *port,
		       void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	const struct pcap_port *p = (const struct pcap_port *)port;

	emit(arg, "eof", !__atomic_load_n(&p->in.has_next, __ATOMIC_RELAXED));
	emit(arg, "n_read", wr_count_get(&p->in.n_read));
	emit(arg, "n_written", wr_count_get(&p->out.n_written));
	emit(arg, "write_errno", wr_count_get(&p->out.write_errno));
}

/* Without discard(): what lies in a file does not grow stale while its reader stands still. */
static const struct port_ops pcap_ops = {
	.scheme = "pcap",
	.start = pcap_start,
	.rx = pcap_rx,
	.tx = pcap_tx,
	.flush = pcap_flush,
	.fd = pcap_fd,
	.arm = pcap_arm,
	.n_frames = pcap_n_frames,
	.close = pcap_close_port,
	.facts = pcap_facts,
};

/* --- open ------------------------------------------------------------------------------------- */

enum { OPT_LOOP };

static const struct port_option pcap_options[] = {
	[OPT_LOOP] = {.name = "loop",
		      .fallback = 1,
		      .min = 0,
		      .max = UINT32_MAX,
		      .text = "times that IN is read, 0: for ever"},
};

static int explain(const struct port_args *args, const char *path, int rc, struct wr_err *err)
{
	if (rc == -ESPIPE)
		return wr_err(err, rc, "%.100s: %.60s is no regular file: use one", args->text,
			      path);
	if (rc == -EBUSY)
		return wr_err(err, rc,
			      "%.100s: %.60s is being read or written by another port: use "
			      "another file, or a copy",
			      args->text, path);
	return wr_err(err, rc, "%.100s: cannot open %.60s: %s", args->text, path, strerror(-rc));
}

static int open_in(struct pcap_in *in, const struct port_args *args, struct wr_err *err)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	const char *path = args->names[0];
	int rc = open_pcap(path, &in->pcap, why), type;

	if (rc == -EBADMSG)
		return wr_err(err, rc, "%.80s: %.60s is no capture that libpcap can read: %.60s",
			      args->text, path, why);
	if (rc < 0)
		return explain(args, path, rc, err);
	type = pcap_datalink(in->pcap);
	if (type != DLT_EN10MB) {
		const char *name = pcap_datalink_val_to_name(type);

		return wr_err(err, -EPROTONOSUPPORT,
			      "%.100s: the packets of %.60s are %s (link type %d): use a capture "
			      "of Ethernet",
			      args->text, path, name ? name : "of unknown kind", type);
	}
	snprintf(in->path, sizeof(in->path), "%s", path);
	in->n_passes_left = args->values[OPT_LOOP];
	in->is_endless = !in->n_passes_left;
	return 0;
}

static bool is_same_file(const struct pcap_in *in, const struct stat *st)
{
	struct stat in_st;

	return in->pcap && !fstat(fileno(pcap_file(in->pcap)), &in_st) &&
	       in_st.st_dev == st->st_dev && in_st.st_ino == st->st_ino;
}

/* An empty file, emptied only once it is known that nobody else has it. NULL: errno. */
static FILE *create_file(const struct pcap_in *in, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0666);
	struct stat st;
	FILE *file;

	if (fd < 0) {
		errno = errno == ENXIO ? ESPIPE : errno; /* a pipe that nobody reads */
		return NULL;
	}
	if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)))
		return refuse(fd, ESPIPE);
	if (is_same_file(in, &st))
		return refuse(fd, EEXIST);
	if (S_ISREG(st.st_mode) && is_taken(fd, LOCK_EX))
		return refuse(fd, EBUSY);
	if (S_ISREG(st.st_mode) && ftruncate(fd, 0) < 0)
		return refuse(fd, errno);
	file = fdopen(fd, "wb");
	return file ? file : refuse(fd, errno);
}

/* The file's header goes out at once: a full disk is known now. */
static int start_out(struct pcap_out *out, FILE *file)
{
	out->form = pcap_open_dead(DLT_EN10MB, SNAP_BYTES);
	out->flat = malloc(out->flat_bytes);
	if (!out->form || !out->flat) {
		(void)fclose(file);
		return -ENOMEM;
	}
	out->dumper = pcap_dump_fopen(out->form, file);
	if (!out->dumper) /* libpcap has closed the file */
		return -EIO;
	if (flush_out(out))
		return 0;
	(void)fail_out(out);
	return -(int)out->write_errno;
}

static int open_out(struct pcap_port *p, const struct port_args *args, struct wr_err *err)
{
	const char *path = args->names[1];
	FILE *file = create_file(&p->in, path);
	int rc;

	if (!file && errno == EEXIST)
		return wr_err(err, -EEXIST,
			      "%.100s: both names are the same file: write to another", args->text);
	if (!file)
		return explain(args, path, -errno, err);
	p->out.flat_bytes = p->max_bytes;
	rc = start_out(&p->out, file);
	if (rc < 0)
		return wr_err(err, rc, "%.100s: cannot write to %.60s: %s", args->text, path,
			      strerror(-rc));
	return 0;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static struct pcap_port *new_port(const struct umem *umem, const struct port_args *args)
{
	struct pcap_port *p = wr_alloc_lines(sizeof(*p));

	if (!p)
		return NULL;
	p->port.ops = &pcap_ops;
	p->port.mode = "file";
	p->port.n_queues = 1;
	p->port.queues[0] = &p->q;
	p->q.port = &p->port;
	p->max_bytes = (size_t)WR_MAX_SEGS * umem->frame_bytes;
	p->port.max_frame_bytes = (uint32_t)p->max_bytes;
	snprintf(p->port.name, sizeof(p->port.name), "%.31s",
		 last_part(args->names[*args->names[0] ? 0 : 1]));
	return p;
}

static int pcap_open_port(struct umem *umem, const struct port_args *args, struct port **ret_port,
			  struct wr_err *err)
{
	struct pcap_port *p;
	int rc = 0;

	if (!*args->names[0] && !*args->names[1])
		return wr_err(err, -EINVAL,
			      "%.100s: neither a file to read nor one to write: use pcap:IN,OUT",
			      args->text);
	p = new_port(umem, args);
	if (!p)
		return wr_err(err, -ENOMEM, "%.100s: out of memory", args->text);
	if (*args->names[0])
		rc = open_in(&p->in, args, err);
	if (!rc && *args->names[1])
		rc = open_out(p, args, err);
	if (rc < 0) {
		pcap_close_port(&p->port);
		return rc;
	}
	look_ahead(&p->in);
	if (p->in.is_broken)
		wr_count(&p->q.counters.rx_bad, 1);
	*ret_port = &p->port;
	return 0;
}

static uint32_t pcap_max_frames(const struct port_args *args)
{
	(void)args;
	return 0;
}

const struct port_driver wr_port_pcap_driver = {
	.scheme = "pcap",
	.names = "IN,OUT",
	.text = "captures: packets come from the file IN, those sent go to OUT; either may be left out",
	.max_names = 2,
	.n_options = wr_array_size(pcap_options),
	.options = pcap_options,
	.open = pcap_open_port,
	.max_frames = pcap_max_frames,
};
