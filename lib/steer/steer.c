/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The program as an object: loaded, configured and read, whatever it is attached to.
 *
 * RLIMIT_MEMLOCK: kernels before 5.11 charge maps to it; libbpf raises it there by itself.
 */
#include "lib/steer/steer_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* Generated code: it casts a const away. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "steer.skel.h"
#pragma GCC diagnostic pop

enum {
	ETH_HEADER_BYTES = 14,
	LOG_BYTES = 1 << 16, /* of the verifier's words the last ones matter, and they are kept */
	BEATS_BYTES = STEER_MAX_WORKERS * sizeof(struct steer_beat),
};

static_assert(offsetof(struct steer_settings, flags) == 6, "one word with the MAC");
static_assert(sizeof(struct steer_beat) == WR_CACHE_LINE, "no two workers share a line");

static int silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

int wr_steer_denied(struct wr_err *err, int code)
{
	return wr_err(err, code, "needs CAP_NET_ADMIN, CAP_BPF and CAP_NET_RAW (run as root)");
}

/* --- what all interfaces share */

static int create_failed(int code, struct wr_err *err)
{
	if (code == -EPERM)
		return wr_steer_denied(err, code);
	if (code == -EINVAL || code == -ENOSYS)
		return wr_err(err, -EOPNOTSUPP,
			      "this kernel has no mapped BPF arrays: needs Linux 5.15");
	return wr_err(err, code, "cannot create BPF maps: %s", strerror(-code));
}

static int create_maps(struct steer *s)
{
	LIBBPF_OPTS(bpf_map_create_opts, hash, .map_flags = BPF_F_NO_PREALLOC);
	LIBBPF_OPTS(bpf_map_create_opts, array, .map_flags = BPF_F_MMAPABLE);
	void *beats;

	s->locals_fd = bpf_map_create(BPF_MAP_TYPE_HASH, "locals", sizeof(uint32_t),
				      sizeof(uint8_t), STEER_MAX_LOCALS, &hash);
	if (s->locals_fd < 0)
		return s->locals_fd;
	s->beats_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "beats", sizeof(uint32_t),
				     sizeof(struct steer_beat), STEER_MAX_WORKERS, &array);
	if (s->beats_fd < 0)
		return s->beats_fd;
	s->local_bits_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "local_bits", sizeof(uint32_t),
					  sizeof(uint64_t), STEER_LOCAL_BITS / 64, NULL);
	if (s->local_bits_fd < 0)
		return s->local_bits_fd;
	beats = mmap(NULL, BEATS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, s->beats_fd, 0);
	if (beats == MAP_FAILED)
		return -errno;
	s->beats = beats;
	return 0;
}

int wr_steer_create(struct steer **ret_steer, struct wr_err *err)
{
	struct steer *s = calloc(1, sizeof(*s));
	int code;

	if (!s)
		return wr_err(err, -ENOMEM, "out of memory");
	s->locals_fd = s->local_bits_fd = s->beats_fd = -1;
	libbpf_set_print(silent);
	wr_steer_share_silence();
	code = create_maps(s);
	if (code < 0) {
		wr_steer_free(s);
		return create_failed(code, err);
	}
	*ret_steer = s;
	return 0;
}

void wr_steer_free(struct steer *s)
{
	if (!s)
		return;
	if (s->beats)
		munmap(s->beats, BEATS_BYTES);
	if (s->beats_fd >= 0)
		close(s->beats_fd);
	if (s->local_bits_fd >= 0)
		close(s->local_bits_fd);
	if (s->locals_fd >= 0)
		close(s->locals_fd);
	free(s);
}

int wr_steer_local_add(struct steer *s, struct ip4 addr)
{
	const uint32_t bit = steer_local_bit(addr.raw), word = bit / 64;
	const uint8_t one = 1;

	s->local_bits[word] |= UINT64_C(1) << (bit % 64);
	if (bpf_map_update_elem(s->local_bits_fd, &word, &s->local_bits[word], BPF_ANY))
		return -errno;
	return bpf_map_update_elem(s->locals_fd, &addr.raw, &one, BPF_ANY);
}

int wr_steer_local_del(struct steer *s, struct ip4 addr)
{
	return bpf_map_delete_elem(s->locals_fd, &addr.raw);
}

uint64_t *wr_steer_beat(struct steer *s, unsigned worker_idx)
{
	assert(worker_idx < STEER_MAX_WORKERS);
	return &s->beats[worker_idx].ns;
}

/* --- the object */

struct steer_bpf *wr_steer_object_open(const struct steer *s, bool is_multi_buffer, char *log,
				       size_t n_log)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .kernel_log_buf = log, .kernel_log_size = n_log);
	struct steer_bpf *o = steer_bpf__open_opts(&opts);
	int code;

	if (!o)
		return NULL;
	o->rodata->multi_buffer = is_multi_buffer;
	code = bpf_program__set_flags(o->progs.weir_steer,
				      is_multi_buffer ? BPF_F_XDP_HAS_FRAGS : 0);
	if (!code)
		code = bpf_map__reuse_fd(o->maps.locals, s->locals_fd);
	if (!code)
		code = bpf_map__reuse_fd(o->maps.local_bits, s->local_bits_fd);
	if (!code)
		code = bpf_map__reuse_fd(o->maps.beats, s->beats_fd);
	if (code) {
		steer_bpf__destroy(o);
		errno = -code;
		return NULL;
	}
	return o;
}

struct steer_bpf *wr_steer_object_twin(const struct steer_port *p)
{
	struct steer_bpf *twin = wr_steer_object_open(p->steer, p->is_multi_buffer, NULL, 0);
	int code;

	if (!twin)
		return NULL;
	code = bpf_map__reuse_fd(twin->maps.xsks, bpf_map__fd(p->object->maps.xsks));
	if (!code)
		code = bpf_map__reuse_fd(twin->maps.counts, bpf_map__fd(p->object->maps.counts));
	if (!code)
		code = bpf_map__reuse_fd(twin->maps.data, bpf_map__fd(p->object->maps.data));
	if (code) {
		steer_bpf__destroy(twin);
		errno = -code;
		return NULL;
	}
	return twin;
}

struct bpf_object *wr_steer_object_bpf(const struct steer_bpf *o)
{
	return o->obj;
}

void wr_steer_object_free(struct steer_bpf *o)
{
	steer_bpf__destroy(o);
}

int wr_steer_port_prog_fd(const struct steer_port *p)
{
	return bpf_program__fd(p->object->progs.weir_steer);
}

/* The verifier's last line before its statistics. */
static const char *last_line(char *log)
{
	char *line, *save = NULL, *last = NULL;

	for (line = strtok_r(log, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (strncmp(line, "processed ", 10) != 0)
			last = line;
	return last ? last : "no reason given";
}

static int load_failed(int code, const char *ifname, char *log, struct wr_err *err)
{
	if (code == -EPERM || code == -EACCES) {
		if (!log[0])
			return wr_steer_denied(err, -EPERM);
	} else if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_XDP, NULL) == 0) {
		return wr_err(err, -EOPNOTSUPP, "%s: this kernel has no XDP: needs Linux 5.15",
			      ifname);
	} else if (libbpf_probe_bpf_map_type(BPF_MAP_TYPE_XSKMAP, NULL) == 0) {
		return wr_err(err, -EOPNOTSUPP,
			      "%s: this kernel has no AF_XDP: needs Linux 5.15 with "
			      "CONFIG_XDP_SOCKETS",
			      ifname);
	}
	return wr_err(err, code,
		      "%s: the kernel refused the XDP program (%s: %s): needs Linux 5.15", ifname,
		      strerror(-code), last_line(log));
}

static int load(struct steer_port *p, bool is_multi_buffer, char *log)
{
	struct steer_bpf *o;
	int code;

	log[0] = '\0';
	o = wr_steer_object_open(p->steer, is_multi_buffer, log, LOG_BYTES);
	if (!o)
		return -errno;
	code = steer_bpf__load(o);
	if (code) {
		steer_bpf__destroy(o);
		return code;
	}
	p->object = o;
	p->settings = &o->data->settings;
	p->is_multi_buffer = is_multi_buffer;
	return 0;
}

/* With multi-buffer, and without it where the kernel knows none. */
static int load_best(struct steer_port *p, struct wr_err *err)
{
	char *log = malloc(LOG_BYTES);
	int code;

	if (!log)
		return wr_err(err, -ENOMEM, "out of memory");
	code = load(p, true, log);
	if (code == -EINVAL)
		code = load(p, false, log);
	if (code)
		code = load_failed(code, p->ifname, log, err);
	free(log);
	return code;
}

/* --- settings: the program reads them at any moment */

static void store_mac_and_flags(struct steer_port *p, const struct mac *mac, uint16_t flags)
{
	struct steer_settings word;

	memcpy(word.mac, mac->b, sizeof(word.mac));
	word.flags = flags;
	__atomic_store_n(&p->settings->mac_and_flags, word.mac_and_flags, __ATOMIC_RELAXED);
}

void wr_steer_port_set_transit(struct steer_port *p, bool on)
{
	uint16_t flags = p->settings->flags & ~STEER_F_TRANSIT;
	struct mac mac;

	memcpy(mac.b, p->settings->mac, sizeof(mac.b));
	store_mac_and_flags(p, &mac, flags | (on ? STEER_F_TRANSIT : 0));
}

void wr_steer_set_merged(struct steer_port *p)
{
	struct mac mac;

	memcpy(mac.b, p->settings->mac, sizeof(mac.b));
	store_mac_and_flags(p, &mac, p->settings->flags | STEER_F_MERGED | STEER_F_VIRTUAL);
}

void wr_steer_port_set_mac(struct steer_port *p, const struct mac *mac)
{
	store_mac_and_flags(p, mac, p->settings->flags);
}

void wr_steer_port_set_mtu(struct steer_port *p, uint32_t mtu)
{
	__atomic_store_n(&p->settings->max_frame_bytes, mtu + ETH_HEADER_BYTES, __ATOMIC_RELAXED);
}

static void init_settings(struct steer_port *p, const struct steer_port_conf *conf)
{
	memset(p->settings->worker_of_queue, STEER_NO_WORKER, sizeof(p->settings->worker_of_queue));
	p->settings->deadline_ns = conf->deadline_ns;
	wr_steer_port_set_mtu(p, conf->mtu);
	store_mac_and_flags(p, &conf->mac,
			    (conf->is_virtual ? STEER_F_VIRTUAL : 0) |
				    (conf->takes_all ? STEER_F_ALL : 0));
}

int wr_steer_port_set_socket(struct steer_port *p, unsigned queue_idx, unsigned worker_idx,
			     int xsk_fd)
{
	int map_fd = bpf_map__fd(p->object->maps.xsks), code;
	uint32_t key = queue_idx, value = xsk_fd;

	if (queue_idx >= STEER_MAX_QUEUES || (xsk_fd >= 0 && worker_idx >= STEER_MAX_WORKERS))
		return -ERANGE;
	/* The worker is known before its socket is, and as long. */
	if (xsk_fd >= 0) {
		__atomic_store_n(&p->settings->worker_of_queue[queue_idx], worker_idx,
				 __ATOMIC_RELEASE);
		return bpf_map_update_elem(map_fd, &key, &value, BPF_ANY);
	}
	code = bpf_map_delete_elem(map_fd, &key);
	__atomic_store_n(&p->settings->worker_of_queue[queue_idx], STEER_NO_WORKER,
			 __ATOMIC_RELEASE);
	return code;
}

int wr_steer_port_counts(const struct steer_port *p, uint64_t *ret_counts)
{
	int n_cpus = libbpf_num_possible_cpus(), code;
	uint64_t(*of_cpu)[STEER_N_VERDICTS];
	uint32_t zero = 0;

	if (n_cpus < 0)
		return n_cpus;
	of_cpu = calloc(n_cpus, sizeof(*of_cpu));
	if (!of_cpu)
		return -ENOMEM;
	code = bpf_map_lookup_elem(bpf_map__fd(p->object->maps.counts), &zero, of_cpu);
	if (!code) {
		memset(ret_counts, 0, sizeof(*of_cpu));
		for (int cpu = 0; cpu < n_cpus; cpu++)
			for (int i = 0; i < STEER_N_VERDICTS; i++)
				ret_counts[i] += of_cpu[cpu][i];
	}
	free(of_cpu);
	return code;
}

bool wr_steer_port_is_pinned(const struct steer_port *p)
{
	return p->is_pinned;
}

bool wr_steer_port_is_multi_buffer(const struct steer_port *p)
{
	return p->is_multi_buffer;
}

/* --- open */

int wr_steer_port_open(struct steer *s, const struct steer_port_conf *conf,
		       struct steer_port **ret_port, struct wr_err *err)
{
	struct steer_port *p = calloc(1, sizeof(*p));
	int code;

	if (!p)
		return wr_err(err, -ENOMEM, "out of memory");
	p->steer = s;
	p->ifindex = conf->ifindex;
	p->wanted = conf->mode;
	p->share = conf->share;
	p->link_fd = -1;
	strncpy(p->ifname, conf->ifname, sizeof(p->ifname) - 1);
	code = load_best(p, err);
	if (code) {
		free(p);
		return code;
	}
	init_settings(p, conf);
	*ret_port = p;
	return 0;
}
