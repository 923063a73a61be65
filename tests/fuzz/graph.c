/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hostile frames through the whole graph. Input: frames one after the other, each two bytes of
 * length and flags, then its bytes. Whatever comes: nothing outside the packet is read or sent
 * (AddressSanitizer watches the copies), every packet is accounted for, every frame comes back.
 */
#include "tests/sim/world.h"

enum { F_HELP = 0x8000, LEN_MASK = 0x3fff };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Makes a frame pass the first checks, so that the deeper ones are reached too. */
static void help(struct frame *f, unsigned wire)
{
	static const uint8_t type[2] = {8, 0};

	if (f->n < ETH_HDR_BYTES + IP4_HDR_BYTES)
		return;
	memcpy(f->b, &router_mac[wire], 6);
	memcpy(f->b + 12, type, 2);
	wr_ip4_hdr_finish(frame_ip(f));
}

static void read_back(struct world *w, struct port *from)
{
	static struct frame got;

	while (world_take(w, from, &got))
		assert_true(got.n > 0 && got.n <= sizeof(got.b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct world *w;
	static struct frame f;
	unsigned i = 0;

	if (!w)
		w = world_create(NULL, true);
	while (n >= 2) {
		unsigned head = (unsigned)data[0] | (unsigned)data[1] << 8;

		f.n = head & LEN_MASK;
		data += 2;
		n -= 2;
		if (f.n > n)
			f.n = n;
		if (!f.n)
			continue;
		memcpy(f.b, data, f.n);
		data += f.n;
		n -= f.n;
		if (head & F_HELP)
			help(&f, i % N_WIRES);
		world_send(w, i++ % N_WIRES, &f);
		if (i % 64 == 0)
			wr_worker_turn(w->worker);
	}
	w->now_ns += WR_NS_PER_MS;
	while (wr_worker_turn(w->worker))
		;
	world_balance(w);
	for (unsigned k = 0; k < N_WIRES; k++) {
		read_back(w, w->wire[k]);
		read_back(w, w->kernel[k]);
	}
	assert_int_equal(world_frames(w), w->umem->n_frames);
	return 0;
}
