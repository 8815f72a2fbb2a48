/* bench/trace/blocks.h - the blocks alive, by address, while a trace is planned
 *
 * A hash table with linear probing, in mapped memory.  One thread.
 */
#ifndef TIDE_BENCH_BLOCKS_H
#define TIDE_BENCH_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

struct block {
    uint64_t address; /* never 0 */
    uint64_t number;  /* counts allocations */
    uint64_t size;    /* bytes */
    uint32_t thread;  /* that allocated it */
    uint32_t slot;
    uint32_t turn; /* of its slot, next */
};

struct blocks {
    struct block *table;
    uint64_t room;  /* entries, a power of 2, or 0 */
    uint64_t count;
};

/* NULL when it isn't there; valid until the next call. */
struct block *blocks_find(const struct blocks *blocks, uint64_t address);

/* It must not be there.  False: no memory. */
bool blocks_add(struct blocks *blocks, const struct block *block);

/* What blocks_find returned. */
void blocks_remove(struct blocks *blocks, struct block *block);

void blocks_free(struct blocks *blocks);

#endif
