/* store/page_map.h - from a page's address to the range that it is known for
 *
 * A free range is entered at its first and its last page, a block at its first.  So the
 * neighbours of a range, and the block that starts at an address, are found in a few
 * steps.
 *
 * A table for each 2 MiB of address space (with pages of 4 KiB), found by another one for
 * each GiB or so.  They are made when memory comes from the OS and stay for good.
 *
 * Entries change under the store's lock.  Who has a block may read its entry without.
 */
#ifndef TIDE_STORE_PAGE_MAP_H
#define TIDE_STORE_PAGE_MAP_H

#include <stdbool.h>
#include <stddef.h>

struct tide_range;

/* Makes the tables for a stretch.  False and ENOMEM when there is no memory; then nothing
 * is lost.  Any thread, no locks. */
bool tide_page_map_cover(const void *start, size_t bytes);

/* The page's table is there. */
void tide_page_map_set(const void *page, struct tide_range *range);

/* Any address. */
struct tide_range *tide_page_map_get(const void *address);

/* The block after one, by address; NULL gives the first, NULL ends it.  For the child of
 * a fork. */
struct tide_range *tide_page_map_next_block(const struct tide_range *block);

#endif
