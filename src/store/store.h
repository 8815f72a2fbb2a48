/* store/store.h - the one store of address space, below arenas and blocks
 *
 * It takes address space from the OS in pieces that lie next to each other where they
 * can, so that the kernel has few mappings; hands out ranges of it, aligned as asked;
 * takes them back, and joins neighbours.  A range that comes back is dirty: its pages
 * stay, for whoever asks next, until they go for good after TIDEPOOL_DECAY_MS
 * (purge.h).  Then it is purged: no more than address space.
 *
 * What counts for the limits is what is used and what is dirty.
 *
 * One lock guards all, and no system call is made under it.  Each memory node has ranges
 * of its own.
 */
#ifndef TIDE_STORE_STORE_H
#define TIDE_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bits.h"
#include "store/counts.h"
#include "store/range.h"

struct tide_lock;

/* A range; *fresh becomes how many of its bytes have no pages: if all, it is zero.  NULL
 * and ENOMEM when there is no memory. */
struct tide_range *tide_store_take(const struct tide_request *request, size_t *fresh);

/* Takes it back; dirty, or purged if it reads as zero and has no pages. */
void tide_store_put(struct tide_range *range, enum tide_range_state state);

/* Makes a range shorter, or longer where it is; *fresh is as above, of what was
 * added.  Can't become shorter when there is no memory for a record, or longer when
 * something is in the way; then false. */
bool tide_store_shrink(struct tide_range *range, size_t bytes);
bool tide_store_extend(struct tide_range *range, size_t bytes, size_t *fresh);

/* Moves a block's pages to a range of so many bytes, that replaces it.  NULL when the
 * kernel can't, or may not (tide_store_may_patch); then nothing changed. */
struct tide_range *tide_store_move(struct tide_range *range, size_t bytes);

/* Whether something may be done that makes more mappings of a range that is in use, by its
 * user: then that counts.  Up to a sixteenth of what the kernel allows by default. */
bool tide_store_may_patch(struct tide_range *range);

/* The block that starts at address, live or just freed; NULL: none. */
struct tide_range *tide_store_block(const void *address);

/* The range of any state, but a used one, that the address lies in.  Takes time for each
 * that there is. */
bool tide_store_find(const void *address, struct tide_range *found);

struct tide_store_totals {
    size_t blocks, block_bytes;         /* that are allocated */
    size_t dirty_ranges, dirty_bytes;   /* free, their pages may be resident */
    size_t purged_ranges, purged_bytes; /* free, without pages */
    size_t grown;                       /* times that the OS was asked for more */
};
struct tide_store_totals tide_store_totals(void);

/* For fork, and for its counts. */
struct tide_lock *tide_store_lock(void);

/* A range that nobody else can find becomes one mapping without pages, if the kernel
 * can. */
bool tide_store_renew(struct tide_range *range);

/* Walks everything and asserts its invariants. */
void tide_store_check(void);

#endif
