/* pool/hollow.h - pages of a pool that were given back
 *
 * A pool that is used but whose blocks are mostly free has pages on which no
 * block is allocated.  These can go back to the OS one by one: such a page is
 * hollow, and the blocks that start in it are in no list, as there is no memory
 * to link them by.  They are neither free nor untouched for the counts, but
 * carved and hollow, and are linked again a page at a time when they are
 * needed.  A free block that only ends in a page that was given back stays in
 * its list.
 *
 * That happens in three steps, so that nobody makes a system call while others may
 * want the pool: its pages are set aside, and every block that lies on them counts
 * as allocated; they are purged; and the owner takes them back, as hollow (see
 * returned.h).  Until then nobody uses them, and the pool can't go.
 *
 * The owner, or who has taken its heap, calls these but where it says any thread.
 */
#ifndef TIDE_POOL_HOLLOW_H
#define TIDE_POOL_HOLLOW_H

#include "pool/counts.h"

/* Pages of a pool that were set aside. */
struct tide_pages {
    struct pool *pool;
    uint64_t pages;  /* a bit for each */
    uint64_t purged; /* those of them that were hollow before and need no purge */
    bool is_split;   /* their arena is to be made ordinary first */
};

/* Sets every page of a used pool aside on which no block is allocated or in a
 * heap's list.  False when there is no page that wasn't hollow before. */
bool tide_pool_set_aside(struct pool *pool, struct tide_pages *aside);

/* Any thread, without locks: gives them back to the OS.  Bytes. */
size_t tide_pool_purge(const struct tide_pages *aside);

/* Makes pages that were set aside hollow.  How many blocks are free again. */
uint32_t tide_pool_take_back(struct pool *pool, uint64_t pages);

/* The blocks of one hollow page, linked; there is one. */
struct block *tide_pool_carve_hollow(struct pool *pool);

/* Asserts that the count is right, and that no freed block starts in such a
 * page. */
void tide_pool_check_hollow(const struct pool *pool);

#endif
