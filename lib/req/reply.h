/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text of a reply while it grows; between the server and wr_req_reply*() only.
 */
#ifndef WR_REQ_REPLY_H
#define WR_REQ_REPLY_H

#include "lib/req/req.h"

enum reply_shape { REPLY_NOTHING, REPLY_VALUE, REPLY_LIST };

struct req_reply {
	char *text;
	size_t n, max;
	size_t *total_bytes; /* the server's sum of all `max` */
	enum reply_shape shape;
	bool has_rows;
	int error; /* the first -errno; then nothing is added any more */
};

/* `total_bytes` is borrowed. */
void wr_reply_init(struct req_reply *, size_t *total_bytes);
void wr_reply_fini(struct req_reply *);

/* Makes it what the client is sent: the end of the list, or in place of all that was added an
 * error, the handler's `rc` or the reply's own. After it there is always something to send. */
void wr_reply_finish(struct req_reply *, int rc, const struct wr_err *);

#endif
