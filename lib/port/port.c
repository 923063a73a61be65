/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/port/port.h"

static uint64_t read_counter(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void wr_port_counters(const struct port *port, struct port_counters *ret_sum)
{
	struct port_counters sum = {0};

	for (unsigned i = 0; i < port->n_queues; i++) {
		const struct port_counters *c = &port->queues[i]->counters;

		sum.rx_pkts += read_counter(&c->rx_pkts);
		sum.rx_bytes += read_counter(&c->rx_bytes);
		sum.tx_pkts += read_counter(&c->tx_pkts);
		sum.tx_bytes += read_counter(&c->tx_bytes);
		sum.tx_full += read_counter(&c->tx_full);
		sum.rx_no_frames += read_counter(&c->rx_no_frames);
		sum.rx_stale += read_counter(&c->rx_stale);
		sum.rx_bad += read_counter(&c->rx_bad);
		sum.tx_kicks += read_counter(&c->tx_kicks);
		sum.tx_errors += read_counter(&c->tx_errors);
	}
	*ret_sum = sum;
}
