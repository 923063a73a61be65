/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/req/reply.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPLY_FIRST_BYTES = 4096 };

/* Every reply begins as a success; an error overwrites it. The fallback of last resort is sent as
 * it is. */
static const char no_memory[] = "12\nno memory for the reply\n";
static_assert(ENOMEM == 12, "as in the text");

void wr_reply_init(struct req_reply *r, size_t *total_bytes)
{
	*r = (struct req_reply){.total_bytes = total_bytes};
}

void wr_reply_fini(struct req_reply *r)
{
	free(r->text);
	*r->total_bytes -= r->max;
	r->text = NULL;
	r->n = r->max = 0;
}

static int grow(struct req_reply *r, size_t n)
{
	size_t max = r->max ? r->max : REPLY_FIRST_BYTES;
	char *text;

	while (max < r->n + n)
		max *= 2;
	/* A sentence always fits: there are at most REQ_MAX_CLIENTS. */
	if (r->max && *r->total_bytes + (max - r->max) > REQ_MAX_REPLIES_BYTES)
		return -ENOBUFS;
	text = realloc(r->text, max);
	if (!text)
		return -ENOMEM;
	*r->total_bytes += max - r->max;
	r->text = text;
	r->max = max;
	return 0;
}

static int append(struct req_reply *r, const char *bytes, size_t n)
{
	if (!r->error && (!r->text || r->max - r->n < n))
		r->error = grow(r, n);
	if (r->error)
		return r->error;
	memcpy(r->text + r->n, bytes, n);
	r->n += n;
	return 0;
}

static int append_text(struct req_reply *r, const char *text)
{
	return append(r, text, strlen(text));
}

static int dump(const char *bytes, size_t n, void *arg)
{
	return append(arg, bytes, n) ? -1 : 0;
}

static int append_json(struct req_reply *r, json_t *value)
{
	/* NULL is what jansson's constructors return when memory is short or a string is not UTF-8.
	 */
	if (!value && !r->error)
		r->error = -ENOMEM;
	if (!r->error && json_dump_callback(value, dump, r, JSON_COMPACT | JSON_ENCODE_ANY) &&
	    !r->error)
		r->error = -EILSEQ;
	json_decref(value);
	return r->error;
}

/* One reply has one shape. */
static int begin(struct req_reply *r, enum reply_shape shape)
{
	if (!r->error && r->shape != REPLY_NOTHING)
		r->error = -EPROTO;
	r->shape = shape;
	return append_text(r, shape == REPLY_LIST ? "0\n[" : "0\n");
}

int wr_req_reply(struct req_reply *r, json_t *value)
{
	begin(r, REPLY_VALUE);
	return append_json(r, value);
}

int wr_req_reply_list(struct req_reply *r)
{
	return r->shape == REPLY_LIST ? r->error : begin(r, REPLY_LIST);
}

int wr_req_reply_row(struct req_reply *r, json_t *row)
{
	wr_req_reply_list(r);
	if (r->has_rows)
		append_text(r, ",");
	r->has_rows = true;
	return append_json(r, row);
}

static void put_error(struct req_reply *r, int rc, const char *sentence)
{
	char head[16];

	/* To the client these two say that nobody serves the socket. */
	if (rc == -ENOENT || rc == -ECONNREFUSED)
		rc = -ESRCH;
	wr_reply_fini(r); /* perhaps a long list that the sentence replaces */
	r->error = 0;
	snprintf(head, sizeof(head), "%d\n", -rc);
	append_text(r, head);
	append_text(r, sentence);
	/* It may quote what came in: one line, nothing that a terminal obeys. */
	for (size_t i = strlen(head); i < r->n; i++)
		if (iscntrl((unsigned char)r->text[i]))
			r->text[i] = '?';
	append_text(r, "\n");
}

void wr_reply_finish(struct req_reply *r, int rc, const struct wr_err *err)
{
	if (!rc && r->shape == REPLY_NOTHING)
		wr_req_reply(r, json_null());
	if (!rc && r->shape == REPLY_LIST)
		append_text(r, "]");
	if (!rc)
		append_text(r, "\n");
	if (rc)
		put_error(r, rc, err && *err->text ? err->text : strerror(-rc));
	else if (r->error == -ENOBUFS)
		put_error(r, -ENOBUFS, "too many large replies at once: try again");
	else if (r->error)
		put_error(r, r->error, strerror(-r->error));
	if (!r->error)
		return;
	/* No memory even for the sentence. */
	r->n = 0;
	if (r->max < sizeof(no_memory) && grow(r, sizeof(no_memory)))
		return;
	memcpy(r->text, no_memory, sizeof(no_memory) - 1);
	r->n = sizeof(no_memory) - 1;
}
