/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WR_CNET_VERSION_H
#define WR_CNET_VERSION_H

/* Of weir-router, weir and libweir: they are built and released together. */
#define WEIR_VERSION "0.1.0"

#endif
