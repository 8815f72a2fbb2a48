/* pool/hollow.c - see hollow.h */
#include "pool/hollow.h"

#include "arena/huge_pages.h"
#include "base/fatal.h"
#include "os/map.h"
#include "pool/pages.h"

enum { PAGES = 64, LEAST_PAGE = 4096 };
_Static_assert(TIDE_WIDE_SLOTS * TIDE_SLOT_BYTES / LEAST_PAGE <= PAGES, "a bit for each page");

/* How many blocks that may be in use lie on each page of a pool. */
struct usage {
    uint16_t blocks[PAGES];
};
_Static_assert(LEAST_PAGE <= UINT16_MAX, "so many blocks lie on a page at most");

/* A range of a pool's blocks by number. */
struct range {
    uint32_t from, to;
};

/* The pages before a distance from the pool's start, up to which it is carved. */
static uint64_t pages_before(size_t distance)
{
    unsigned count = (unsigned)(distance >> tide_os_page_shift);

    return count == 0 ? 0 : tide_bit_run(0, count);
}

/* The blocks that start before a page. */
static uint32_t blocks_before(const struct pool *pool, unsigned page)
{
    uint32_t bytes = pool->block_bytes, carved = tide_relaxed(&pool->carved);
    uint32_t before = (uint32_t)((page * tide_os_page_bytes + bytes - 1) / bytes);

    return before < carved ? before : carved;
}

/* The carved blocks that start in a page. */
static struct range blocks_in(const struct pool *pool, unsigned page)
{
    return (struct range){ blocks_before(pool, page), blocks_before(pool, page + 1) };
}

/* Those that start in any of the pages. */
static uint32_t count_in(const struct pool *pool, uint64_t pages)
{
    uint32_t count = 0;

    for (; pages != 0; pages &= pages - 1) {
        struct range range = blocks_in(pool, tide_lowest_bit(pages));

        count += range.to - range.from;
    }
    return count;
}

/* Whether a carved block starts before the page and ends on it or after; then
 * *block is its number. */
static bool is_begun(const struct pool *pool, unsigned page, uint32_t *block)
{
    uint32_t before = blocks_before(pool, page);

    *block = before - 1;
    return before > 0 && (size_t)before * pool->block_bytes > page * tide_os_page_bytes;
}

/* The pages that block, a number, starts on, and that it lies on. */
static unsigned first_page(const struct pool *pool, uint32_t block)
{
    return (unsigned)((size_t)block * pool->block_bytes >> tide_os_page_shift);
}

static uint64_t all_pages(const struct pool *pool, uint32_t block)
{
    return tide_pages_at((size_t)block * pool->block_bytes, pool->block_bytes);
}

static struct block *block_at(const struct pool *pool, uint32_t number)
{
    return (struct block *)(tide_pool_start(pool) + (size_t)number * pool->block_bytes);
}

/* ---- Which pages are free ---------------------------------------------- */

/* Freed blocks lie anywhere, and each tells only where the next is: one after the other
 * they come from memory much more slowly than all of the pool's do in a row.  What is
 * read is not used, and may be the program's. */
__attribute__((no_sanitize("address", "thread"))) static TIDE_NOINLINE void
touch(const struct pool *pool)
{
    const char *start = tide_pool_start(pool);
    size_t end = (size_t)tide_relaxed(&pool->carved) * pool->block_bytes;
    size_t step = pool->block_bytes > TIDE_CACHE_LINE ? pool->block_bytes : TIDE_CACHE_LINE;

    for (size_t distance = 0; distance < end; distance += step)
        if (!((pool->hollow_pages | pool->pages_away) >> (distance >> tide_os_page_shift) & 1))
            (void)*(const volatile char *)(start + distance);
}

static inline void cross_off(struct usage *usage, size_t distance, size_t bytes, unsigned shift)
{
    unsigned first = (unsigned)(distance >> shift);
    unsigned last = (unsigned)((distance + bytes - 1) >> shift);

    for (unsigned page = first; page <= last; page++)
        usage->blocks[page]--;
}

/* All carved blocks. */
static void enter_all(const struct pool *pool, struct usage *usage)
{
    size_t end = (size_t)tide_relaxed(&pool->carved) * pool->block_bytes;
    uint32_t begun;

    for (unsigned page = 0; page * tide_os_page_bytes < end; page++) {
        struct range range = blocks_in(pool, page);

        usage->blocks[page] = (uint16_t)(range.to - range.from + is_begun(pool, page, &begun));
    }
}

/* Pages on which no block is in use. */
static uint64_t free_pages(const struct pool *pool)
{
    struct usage usage = { .blocks = { 0 } };
    const char *start = tide_pool_start(pool);
    size_t bytes = pool->block_bytes;
    unsigned shift = tide_os_page_shift;
    uint64_t free = 0;

    touch(pool);
    enter_all(pool, &usage);
    for (const struct block *block = pool->freed; block; block = block->next)
        cross_off(&usage, (size_t)((const char *)block - start), bytes, shift);
    for (uint64_t rest = pool->hollow_pages; rest != 0; rest &= rest - 1) {
        struct range range = blocks_in(pool, tide_lowest_bit(rest));

        for (; range.from < range.to; range.from++)
            cross_off(&usage, range.from * bytes, bytes, shift);
    }
    for (unsigned page = 0; page < tide_pages_of_pool(pool); page++)
        free |= (uint64_t)(usage.blocks[page] == 0) << page;
    return free;
}

/* A block that starts on a page that stays hollow may be given out at any time, so
 * the pages that it ends on are no others'. */
static uint64_t without_ends_of_hollow(const struct pool *pool, uint64_t pages)
{
    for (uint64_t rest = pages; rest != 0; rest &= rest - 1) {
        unsigned page = tide_lowest_bit(rest);
        uint32_t begun;

        if (is_begun(pool, page, &begun) &&
            (pool->hollow_pages & ~pages) >> first_page(pool, begun) & 1)
            pages &= ~(rest & -rest);
    }
    return pages;
}

/* ---- Setting them aside ------------------------------------------------ */

/* Untouched blocks may lie on pages that were in use before the pool was.  They
 * are carved: those that start on a page of others are free, the rest hollow. */
static void carve_rest(struct pool *pool)
{
    uint32_t next = tide_relaxed(&pool->carved), from;
    size_t end = tide_round_up((size_t)next * pool->block_bytes, tide_os_page_bytes);
    unsigned first = (unsigned)(end >> tide_os_page_shift);

    tide_set_relaxed(&pool->carved, pool->capacity);
    from = blocks_before(pool, first);
    for (; next < from; next++) {
        struct block *block = block_at(pool, next);

        block->next = pool->freed;
        pool->freed = block;
    }
    if (first < tide_pages_of_pool(pool))
        pool->hollow_pages |= tide_bit_run(first, tide_pages_of_pool(pool) - first);
    tide_set_relaxed(&pool->hollow,
                     (uint16_t)(tide_relaxed(&pool->hollow) + pool->capacity - from));
}

/* Takes the freed blocks that lie on the pages out of the list.  How many. */
static uint32_t unlink_blocks(struct pool *pool, uint64_t pages)
{
    struct block **link = &pool->freed, *block;
    const char *start = tide_pool_start(pool);
    size_t bytes = pool->block_bytes;
    unsigned shift = tide_os_page_shift;
    uint32_t count = 0;

    while ((block = *link)) {
        size_t distance = (size_t)((const char *)block - start);
        uint64_t from_first = UINT64_MAX << (distance >> shift);
        uint64_t after_last = (UINT64_MAX - 1) << ((distance + bytes - 1) >> shift);

        if (pages & from_first & ~after_last) {
            *link = block->next;
            count++;
        } else {
            link = &block->next;
        }
    }
    return count;
}

/* Hollow pages that a block ends on which starts on one that isn't: it may have been in
 * use since they were purged. */
static uint64_t used_again(const struct pool *pool, uint64_t hollow)
{
    uint64_t used = 0;
    uint32_t begun;

    for (uint64_t rest = hollow; rest != 0; rest &= rest - 1)
        if (is_begun(pool, tide_lowest_bit(rest), &begun) &&
            !(hollow >> first_page(pool, begun) & 1))
            used |= rest & -rest;
    return used;
}

/* With the pages go blocks, that count as allocated and keep the pool: so pages that no
 * block lies on don't go alone. */
bool tide_pool_set_aside(struct pool *pool, struct tide_pages *aside)
{
    uint64_t hollow = pool->hollow_pages, pages;
    uint32_t of_hollow;

    TIDE_ASSERT(tide_relaxed(&pool->state) == POOL_USED);
    if (tide_pool_free_count(pool) == pool->free_at_look || tide_pages_of_pool(pool) == 1)
        return false;
    if (!pool->is_zero && tide_relaxed(&pool->carved) < pool->capacity)
        carve_rest(pool);
    pool->free_at_look = (uint16_t)tide_pool_free_count(pool);
    pages = free_pages(pool);
    if (tide_relaxed(&pool->carved) < pool->capacity) /* the next block starts on the last */
        pages &= pages_before((size_t)tide_relaxed(&pool->carved) * pool->block_bytes);
    pages = without_ends_of_hollow(pool, pages);
    *aside = (struct tide_pages){ .pool = pool, .pages = pages, .purged = hollow };
    if ((pages & ~hollow & tide_pages_at(0, (size_t)pool->capacity * pool->block_bytes)) == 0 ||
        !tide_arena_may_split(pool, tide_bit_count(pages) << tide_os_page_shift,
                              &aside->is_split))
        return false;
    aside->purged &= ~used_again(pool, hollow);
    of_hollow = count_in(pool, pool->hollow_pages & pages);
    pool->hollow_pages &= ~pages;
    pool->pages_away |= pages;
    tide_set_relaxed(&pool->hollow, (uint16_t)(tide_relaxed(&pool->hollow) - of_hollow));
    tide_count(&pool->left, unlink_blocks(pool, pages) + of_hollow);
    pool->free_at_look = (uint16_t)tide_pool_free_count(pool);
    return true;
}

size_t tide_pool_purge(const struct tide_pages *aside)
{
    uint64_t pages = aside->pages & ~aside->purged;

    if (aside->is_split)
        tide_arena_make_ordinary(tide_arena_of(aside->pool));
    tide_os_purge_units(tide_pool_start(aside->pool), tide_os_page_bytes, pages);
    return tide_bit_count(pages) * tide_os_page_bytes;
}

/* ---- Using them again -------------------------------------------------- */

/* Frees the block that starts on a page of others and ends on this one, if this is
 * the first of the pages that it lies on. */
static uint32_t free_begun(struct pool *pool, unsigned page, uint64_t pages)
{
    struct block *block;
    uint32_t begun;

    if (!is_begun(pool, page, &begun) ||
        (all_pages(pool, begun) & pages & (tide_bit_run(0, page + 1) >> 1)) != 0)
        return 0;
    block = block_at(pool, begun);
    block->next = pool->freed;
    pool->freed = block;
    return 1;
}

uint32_t tide_pool_take_back(struct pool *pool, uint64_t pages)
{
    uint32_t count = count_in(pool, pages);

    pool->hollow_pages |= pages;
    pool->pages_away &= ~pages;
    tide_set_relaxed(&pool->hollow, (uint16_t)(tide_relaxed(&pool->hollow) + count));
    for (uint64_t rest = pages; rest != 0; rest &= rest - 1)
        count += free_begun(pool, tide_lowest_bit(rest), pages);
    pool->free_at_look = (uint16_t)(pool->free_at_look + count);
    return count;
}

struct block *tide_pool_carve_hollow(struct pool *pool)
{
    struct block *first = NULL;
    struct range range;

    do { /* blocks larger than a page leave some without a start */
        range = blocks_in(pool, tide_lowest_bit(pool->hollow_pages));
        pool->hollow_pages &= pool->hollow_pages - 1;
    } while (range.from == range.to);
    for (uint32_t n = range.to; n-- > range.from;) {
        struct block *block = block_at(pool, n);

        block->next = first;
        first = block;
    }
    pool->free_at_look = 0;
    tide_set_relaxed(&pool->hollow,
                     (uint16_t)(tide_relaxed(&pool->hollow) - (range.to - range.from)));
    tide_count(&pool->left, range.to - range.from);
    return first;
}

void tide_pool_check_hollow(const struct pool *pool)
{
    TIDE_REQUIRE(count_in(pool, pool->hollow_pages) == tide_relaxed(&pool->hollow));
    for (const struct block *block = pool->freed; block; block = block->next) {
        uint64_t pages = tide_pages_of(pool, block);

        TIDE_REQUIRE((pages & -pages & pool->hollow_pages) == 0);
    }
}
