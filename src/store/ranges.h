/* store/ranges.h - which ranges there are: the store's inside
 *
 * Everything here is called under the store's lock, but for the locking itself.
 */
#ifndef TIDE_STORE_RANGES_H
#define TIDE_STORE_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/range.h"

struct tide_lock;

/* Of one state, in the order in which they came to it. */
struct tide_range_list {
    struct tide_range *oldest, *newest;
    size_t count, bytes;
};
extern struct tide_range_list tide_ranges[RANGE_STATES];

extern struct tide_lock tide_ranges_lock;
extern uint32_t tide_ranges_copy; /* the number of this copy of the process */

/* Takes the lock when there are so many spare records.  False and ENOMEM, without the
 * lock, when there is no memory for them. */
bool tide_ranges_lock_with(unsigned records);

/* A record of the spare ones, which there are; and back. */
struct tide_range *tide_ranges_new(void);
void tide_ranges_drop(struct tide_range *range);

/* The same for a piece that is cut out of a range: used, and in no list. */
struct tide_range *tide_ranges_new_piece(const struct tide_range *whole, char *start, size_t bytes);

static inline char *tide_range_end(const struct tide_range *range)
{
    return range->start + range->bytes;
}

static inline bool tide_range_is_free(const struct tide_range *range)
{
    return range->state <= RANGE_PURGED;
}

/* The free neighbour of a range's memory node that begins where address is; NULL. */
struct tide_range *tide_ranges_free_at(const char *address, unsigned home);

/* The one that ends there. */
struct tide_range *tide_ranges_free_before(const char *address, unsigned home);

/* Enters a range that is in no list: as the newest of its state, or a free one beside
 * another one of its age. */
void tide_ranges_enter(struct tide_range *range, enum tide_range_state state);
void tide_ranges_enter_beside(struct tide_range *range, const struct tide_range *other);

/* Takes one out of everything. */
void tide_ranges_leave(struct tide_range *range);

/* Enters one as free, as one with its neighbours: the whole.  That is as old as its largest
 * part, and has its record; the others' go. */
struct tide_range *tide_ranges_join(struct tide_range *range, enum tide_range_state state);

/* A free range begins later, or ends earlier; some of it is left. */
void tide_ranges_cut_front(struct tide_range *range, size_t bytes);
void tide_ranges_cut_back(struct tide_range *range, size_t bytes);

/* A block or used range has so many bytes now. */
void tide_ranges_resize(struct tide_range *range, size_t bytes);

/* The smallest free range of the state that has so many bytes at such an alignment;
 * NULL. */
struct tide_range *tide_ranges_fit(enum tide_range_state state, unsigned home, size_t bytes,
                                   size_t alignment);

struct tide_range *tide_ranges_largest(enum tide_range_state state, unsigned home);

/* Forgets all free ranges, and lists blocks anew, as the page map has them. */
void tide_ranges_mend(void);

void tide_ranges_check(void);

#endif
