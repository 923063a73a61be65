/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/mirror/mirror_private.h"

#include <stdlib.h>
#include <string.h>

static bool add_chunk(struct slab *s)
{
	if (s->n_chunks == s->max_chunks) {
		uint32_t max = s->max_chunks ? s->max_chunks * 2 : 16;
		char **chunks = realloc(s->chunks, max * sizeof(*chunks));

		if (!chunks)
			return false;
		s->chunks = chunks;
		s->max_chunks = max;
	}
	s->chunks[s->n_chunks] = malloc((size_t)SLAB_CHUNK_ITEMS * s->item_bytes);
	if (!s->chunks[s->n_chunks])
		return false;
	s->n_chunks++;
	return true;
}

uint32_t wr_slab_alloc(struct slab *s)
{
	uint32_t idx = s->first_free;

	if (idx) {
		memcpy(&s->first_free, wr_slab_at(s, idx), sizeof(s->first_free));
	} else {
		/* Index 0 is never given out. */
		idx = s->n_items ? s->n_items : 1;
		if (idx / SLAB_CHUNK_ITEMS >= s->n_chunks && !add_chunk(s))
			return 0;
		s->n_items = idx + 1;
	}
	memset(wr_slab_at(s, idx), 0, s->item_bytes);
	return idx;
}

void wr_slab_free(struct slab *s, uint32_t idx)
{
	char *item = wr_slab_at(s, idx);

	memset(item, 0xff, s->item_bytes);
	memcpy(item, &s->first_free, sizeof(s->first_free));
	s->first_free = idx;
}

void wr_slab_fini(struct slab *s)
{
	for (uint32_t i = 0; i < s->n_chunks; i++)
		free(s->chunks[i]);
	free(s->chunks);
	*s = (struct slab){.item_bytes = s->item_bytes};
}
