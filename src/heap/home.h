/* heap/home.h - blocks and pages go home to their pools
 *
 * What the depot has no room for goes home, and so do blocks smaller than a
 * cache line, as other threads' blocks share their lines: gathered in an
 * outbox into a chain for each pool, each chain pushed with one atomic.  The first
 * chain of a pool also puts it in its heap's inbox.
 *
 * No section is needed, but for a heap's own outbox.
 */
#ifndef TIDE_HEAP_HOME_H
#define TIDE_HEAP_HOME_H

#include "heap/heap.h"
#include "pool/hollow.h"

static inline struct chain *tide_outbox_chain(struct outbox *outbox, const struct pool *pool)
{
    return &outbox->chains[(uintptr_t)pool / sizeof *pool % OUTBOX_CHAINS];
}

/* Puts a block of the pool in. */
void tide_outbox_put(struct outbox *outbox, struct pool *pool, struct block *block);

/* Linked ones, of whichever pools. */
void tide_outbox_put_all(struct outbox *outbox, struct block *blocks);

/* Sends all that is in it home. */
void tide_outbox_send(struct outbox *outbox);

/* Sends blocks home, to whichever pools they are of. */
void tide_heap_send_home(struct block *blocks);
void tide_heap_send_block_home(struct block *block);

/* Sends pages that were set aside, and purged, back to their pool. */
void tide_heap_send_pages_home(const struct tide_pages *pages);

/* Sends the depot's blocks home, all or those that nobody needed since the last
 * such call.  How many classes still have some there. */
size_t tide_heap_empty_depot(bool is_only_idle);

#endif
