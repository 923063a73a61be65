/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests: typed words in, one tree out.
 *
 * A client connects to a Unix stream socket, sends words, each ended by a NUL byte, and shuts down
 * its sending side. The reply is one line, "0\n" or "<errno>\n", then until the end of the stream a
 * JSON text, or for an error one sentence. The client prints the tree as a table or as it is. One
 * request a connection.
 *
 * A JSON text ends with the only newline in it, so that a reply that was cut short is seen to be.
 *
 * Bounds: REQ_MAX_BYTES a request, REQ_MAX_CLIENTS at once (more are told so and closed),
 * REQ_TIMEOUT_S for sending the request and again for reading the reply, REQ_MAX_REPLIES_BYTES of
 * memory for replies. A client that reads slowly holds memory for its reply and nothing else: the
 * control thread never waits for it.
 *
 * The reply is a tree of jansson's. A long list is added row by row and is serialised at once, so
 * that a million routes are text, not a million objects. Control thread only.
 */
#ifndef WR_REQ_REQ_H
#define WR_REQ_REQ_H

#include "lib/base/err.h"
#include "lib/sys/loop.h"

#include <jansson.h>

enum {
	REQ_MAX_BYTES = 64 << 10,
	REQ_MAX_WORDS = 4096,
	REQ_MAX_CLIENTS = 32,
	REQ_TIMEOUT_S = 10,
	REQ_MAX_REPLIES_BYTES =
		1 << 30, /* of all replies that are being read; beyond it -ENOBUFS */
};

struct req_server;
struct req_reply;

/* Answers one request: adds to the reply, returns 0; or -errno with a sentence. `words` are
 * NUL-terminated, at least one, and live for the call. -ENOENT and -ECONNREFUSED mean "nobody
 * serves" to the client and are sent as -ESRCH. */
typedef int req_handler(void *arg, char *const *words, unsigned n_words, struct req_reply *,
			struct wr_err *);

/* Listens on `path` (replacing a socket that nobody serves; -EADDRINUSE if somebody does); mode
 * 0660. */
int wr_req_listen(struct wr_loop *, const char *path, req_handler *, void *arg,
		  struct req_server **ret_server, struct wr_err *);
/* Ends all connections and removes the socket. */
void wr_req_close(struct req_server *);

/* What can go wrong with a reply (no memory, NULL for a value that could not be made, bytes that
 * are no text) is remembered and the client is told, so handlers need not look at the results of
 * these three. */

/* The reply is this one value (reference stolen). */
int wr_req_reply(struct req_reply *, json_t *value);
/* The reply is an array; this is its next element (reference stolen). */
int wr_req_reply_row(struct req_reply *, json_t *row);
/* The reply is an array, perhaps an empty one. */
int wr_req_reply_list(struct req_reply *);

/* Cuts a request into its words: each ends by a NUL byte within `len`, `ret_words` points into
 * `buf`. Returns how many; -EINVAL: the last one is not ended; -E2BIG: more than `max`. */
int wr_req_split(char *buf, size_t len, char **ret_words, unsigned max);

/*
 * The client's side: sends the words, waits at most `timeout_ms`. Returns 0 and the JSON text; or
 * the daemon's -errno and its sentence; or -ENOENT/-ECONNREFUSED if nobody serves the path. The
 * text, which ends with a newline, is the caller's to free().
 */
int wr_req_ask(const char *path, char *const *words, unsigned n_words, int timeout_ms,
	       char **ret_text, struct wr_err *);

#endif
