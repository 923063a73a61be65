/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Nothing: never receives, counts and frees what is sent. For what a program costs without its
 * ports, and where one is asked for that nobody needs.
 */
#include "lib/base/alloc.h"
#include "lib/port/spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct null_port {
	struct port port;
	struct port_queue queues[];
};

static int null_start(struct port_queue *q)
{
	(void)q;
	return 0;
}

static unsigned null_rx(struct port_queue *q, struct packet **ret_pkts, unsigned max)
{
	(void)q;
	(void)ret_pkts;
	(void)max;
	return 0;
}

static void null_tx(struct port_queue *q, struct packet **pkts, unsigned n)
{
	uint64_t n_bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		n_bytes += pkts[i]->len;
		wr_packet_free(q->pool, pkts[i]);
	}
	wr_count(&q->counters.tx_pkts, n);
	wr_count(&q->counters.tx_bytes, n_bytes);
}

static void null_flush(struct port_queue *q)
{
	(void)q;
}

static int null_fd(const struct port_queue *q)
{
	(void)q;
	return -1;
}

static uint32_t null_n_frames(const struct port_queue *q)
{
	(void)q;
	return 0;
}

static void null_close(struct port *port)
{
	free(port);
}

static const struct port_ops null_ops = {
	.scheme = "null",
	.start = null_start,
	.rx = null_rx,
	.tx = null_tx,
	.flush = null_flush,
	.fd = null_fd,
	.n_frames = null_n_frames,
	.close = null_close,
};

/* --- by name ---------------------------------------------------------------------------------- */

enum { OPT_QUEUES };

static const struct port_option null_options[] = {
	[OPT_QUEUES] =
		{.name = "queues", .fallback = 1, .min = 1, .max = WR_MAX_QUEUES, .text = "queues"},
};

static int null_open(struct umem *umem, const struct port_args *args, struct port **ret_port,
		     struct wr_err *err)
{
	const uint16_t n_queues = (uint16_t)args->values[OPT_QUEUES];
	struct null_port *np = wr_alloc_lines(sizeof(*np) + n_queues * sizeof(np->queues[0]));

	(void)umem;
	if (!np)
		return wr_err(err, -ENOMEM, "%.100s: out of memory", args->text);
	np->port.ops = &null_ops;
	np->port.mode = "nothing";
	np->port.flags = PORT_TX_CSUM;
	np->port.n_queues = n_queues;
	snprintf(np->port.name, sizeof(np->port.name), "null");
	for (uint16_t i = 0; i < n_queues; i++) {
		np->queues[i].port = &np->port;
		np->queues[i].queue_idx = i;
		np->port.queues[i] = &np->queues[i];
	}
	*ret_port = &np->port;
	return 0;
}

static uint32_t null_max_frames(const struct port_args *args)
{
	(void)args;
	return 0;
}

const struct port_driver wr_port_null_driver = {
	.scheme = "null",
	.names = "",
	.text = "nothing: never receives, and frees what is sent",
	.n_options = wr_array_size(null_options),
	.options = null_options,
	.open = null_open,
	.max_frames = null_max_frames,
};
