/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hostile words on the control socket: cut up as the server does it, then answered by a stack
 * without interfaces.
 */
#include "cnet/stack.h"
#include "lib/req/reply.h"
#include "lib/req/req.h"

#include <stdlib.h>
#include <string.h>

static uint64_t no_time(const struct wr_clock *clock)
{
	(void)clock;
	return WR_NS_PER_S;
}

static struct weir *create_stack(void)
{
	static const struct wr_clock clock = {.now_ns = no_time};
	static const struct mirror_ops ops = {NULL, NULL, NULL};
	struct weir *weir = calloc(1, sizeof(*weir));
	struct mirror_conf conf = {.ops = &ops};

	if (!weir || wr_loop_create(&clock, &weir->loop) || wr_fib_create(&weir->rcu, &weir->fib))
		abort();
	wr_conf_init(&weir->conf);
	weir->clock = &clock;
	conf.loop = weir->loop;
	conf.fib = weir->fib;
	conf.rcu = &weir->rcu;
	if (wr_umem_create(&(struct umem_conf){.n_frames = 64, .frame_bytes = 2048}, &weir->umem,
			   NULL) ||
	    wr_mirror_create_detached(&conf, &weir->mirror))
		abort();
	return weir;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct weir *weir;
	char *words[64];
	char *buf = malloc(n + !n); /* exactly as long as the request */
	struct req_reply reply;
	struct wr_err err = {.text = ""};
	size_t total_bytes = 0;
	int n_words, rc;

	if (!weir)
		weir = create_stack();
	if (!buf)
		abort();
	memcpy(buf, data, n);
	n_words = wr_req_split(buf, n, words, wr_array_size(words));
	if (n_words >= 0) {
		wr_reply_init(&reply, &total_bytes);
		rc = wr_command(weir, words, (unsigned)n_words, &reply, &err);
		if (rc < 0 && !err.text[0])
			abort(); /* an error without a sentence */
		wr_reply_finish(&reply, rc, &err);
		wr_reply_fini(&reply);
	}
	free(buf);
	return 0;
}
