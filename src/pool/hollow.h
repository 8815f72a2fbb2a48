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
 * The owner, or who stands in for it, calls these.
 */
#ifndef TIDE_POOL_HOLLOW_H
#define TIDE_POOL_HOLLOW_H

#include "pool/pool.h"

/* Gives back every page of a used pool on which no block is allocated or in a
 * heap's list.  Bytes that weren't given back before. */
size_t tide_pool_hollow(struct pool *pool);

/* The blocks of one hollow page, linked; there is one. */
struct block *tide_pool_carve_hollow(struct pool *pool);

/* Asserts that the count is right, and that no freed block starts in such a
 * page. */
void tide_pool_check_hollow(const struct pool *pool);

#endif
