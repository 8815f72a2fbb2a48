/* large/cache.h - large blocks that were just freed, for who asks for their size next
 *
 * The store joins what comes back with its neighbours and cuts it again for the next
 * request, under its lock: that takes longer than most programs work with a block of
 * up to 128 KiB.  So such blocks wait here, in sets of 16 slots; a thread uses one set,
 * that others may use too.  Taking from a slot and putting into it are one atomic exchange
 * each, so nobody waits for anybody, and whatever was in it before is the caller's.  calloc
 * takes none of them, as their pages that nobody touched would become resident.
 *
 * For the store a block that waits is a block: its record's stamp tells that it is free.
 * Each look for idle memory puts all of them into the store, as do statistics.
 */
#ifndef TIDE_LARGE_CACHE_H
#define TIDE_LARGE_CACHE_H

struct tide_request;
struct tide_range;

/* A block as requested; NULL: there is none.  Any thread. */
struct tide_range *tide_large_cache_take(const struct tide_request *request);

/* Takes a block that was freed; it, or one that has waited, may go into the store. */
void tide_large_cache_put(struct tide_range *block);

/* Puts what is in the calling thread's set into the store, or all. */
void tide_large_cache_flush_own(void);
void tide_large_cache_flush(void);

#endif
