/* bench/trace/blocks.c - the blocks alive, by address (blocks.h) */
#include "blocks.h"

#include "trace.h"

#define ROOM_LEAST 4096

static uint64_t home_of(const struct blocks *blocks, uint64_t address)
{
    return (address * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & (blocks->room - 1);
}

struct block *blocks_find(const struct blocks *blocks, uint64_t address)
{
    if (blocks->count == 0)
        return NULL;
    uint64_t at = home_of(blocks, address);
    for (; blocks->table[at].address != 0; at = (at + 1) & (blocks->room - 1))
        if (blocks->table[at].address == address)
            return &blocks->table[at];
    return NULL;
}

static void put(struct blocks *blocks, const struct block *block)
{
    uint64_t at = home_of(blocks, block->address);
    while (blocks->table[at].address != 0)
        at = (at + 1) & (blocks->room - 1);
    blocks->table[at] = *block;
    blocks->count++;
}

static bool grow(struct blocks *blocks)
{
    struct blocks bigger = {.room = blocks->room ? 2 * blocks->room : ROOM_LEAST};
    bigger.table = trace_map(bigger.room * sizeof *bigger.table);
    if (bigger.table == NULL)
        return false;
    for (uint64_t i = 0; i < blocks->room; i++)
        if (blocks->table[i].address != 0)
            put(&bigger, &blocks->table[i]);
    blocks_free(blocks);
    *blocks = bigger;
    return true;
}

bool blocks_add(struct blocks *blocks, const struct block *block)
{
    if (2 * blocks->count >= blocks->room && !grow(blocks))
        return false;
    put(blocks, block);
    return true;
}

/* Entries behind it move up, so that no search ends too early. */
void blocks_remove(struct blocks *blocks, struct block *block)
{
    uint64_t mask = blocks->room - 1;
    uint64_t hole = (uint64_t)(block - blocks->table);
    for (uint64_t at = (hole + 1) & mask; blocks->table[at].address != 0; at = (at + 1) & mask) {
        uint64_t home = home_of(blocks, blocks->table[at].address);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            blocks->table[hole] = blocks->table[at];
            hole = at;
        }
    }
    blocks->table[hole].address = 0;
    blocks->count--;
}

void blocks_free(struct blocks *blocks)
{
    trace_unmap(blocks->table, blocks->room * sizeof *blocks->table);
    *blocks = (struct blocks){0};
}
