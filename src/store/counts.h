/* store/counts.h - what the store counts: bytes, but for patches and grown
 *
 * Written by the store, read by any thread.
 */
#ifndef TIDE_STORE_COUNTS_H
#define TIDE_STORE_COUNTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bits.h"
#include "store/range.h"

extern TIDE_HIDDEN _Atomic size_t tide_store_used;    /* of blocks and used ranges */
extern TIDE_HIDDEN _Atomic size_t tide_store_dirty;   /* of dirty ones */
extern TIDE_HIDDEN _Atomic size_t tide_store_mapped;  /* all that came from the OS */
extern TIDE_HIDDEN _Atomic size_t tide_store_grown;   /* times that the OS was asked */
extern TIDE_HIDDEN _Atomic size_t tide_store_patches; /* times that mappings were split; about */

void tide_store_add(_Atomic size_t *count, size_t bytes); /* or takes away, as -bytes */

/* So much is used from now on, of which some was dirty; the rest is taken from the limit.
 * False when that doesn't allow for it. */
bool tide_store_count_used(size_t bytes, size_t dirty);

/* It isn't any more, but dirty or purged. */
void tide_store_count_free(size_t bytes, enum tide_range_state state);

/* So much isn't dirty any more, but purged. */
void tide_store_count_purged(size_t bytes);

#endif
