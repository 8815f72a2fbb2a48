/* upkeep/tidy.c - see tidy.h */
#include "upkeep/tidy.h"

#include "arena/manager.h"
#include "heap/home.h"
#include "heap/lists.h"
#include "heap/pools.h"

/* Of a slice: 20 us at most, measured alone. */
enum {
    MOST_BLOCKS = 512,
    MOST_POOLS = 32,
    POOL_WORK = 16, /* in blocks: of looking at a pool whose pages were looked for before */
};

static _Atomic uint8_t look = 1; /* the number of this look, never 0 */

void tide_tidy_count_look(void)
{
    uint8_t now = tide_relaxed(&look);

    tide_set_relaxed(&look, now == UINT8_MAX ? 1 : (uint8_t)(now + 1));
}

void tide_heap_tidy_begin(struct heap *heap, bool is_only_idle)
{
    heap->tidying = (struct tidying){
        .step = is_only_idle ? TIDY_POOLS : TIDY_LISTS,
        .is_only_idle = is_only_idle,
        .moves = tide_relaxed(&heap->moves),
    };
}

/* ---- Lists ------------------------------------------------------------- */

static void set_block_aside(struct tide_aside *aside, struct block *block)
{
    block->next = aside->blocks;
    aside->blocks = block;
}

static void set_all_aside(struct tide_aside *aside, struct block *blocks)
{
    struct block *next;

    for (; blocks; blocks = next) {
        next = blocks->next;
        set_block_aside(aside, blocks);
    }
}

static void set_outbox_aside(struct tide_aside *aside, struct outbox *outbox)
{
    for (int n = 0; n < OUTBOX_CHAINS; n++)
        if (outbox->chains[n].pool) {
            outbox->chains[n].last->next = aside->blocks;
            aside->blocks = outbox->chains[n].first;
        }
    *outbox = (struct outbox){ .bytes = 0 };
}

/* Takes so many blocks from the class's list, back to their pools or aside.  How many
 * there were. */
static unsigned take_list(struct heap *heap, struct tide_aside *aside, unsigned size_class,
                          unsigned most)
{
    struct block **list = &heap->list[size_class].freed, *first;
    uint32_t count = 0, run;

    for (; count < most && (first = *list); count += run) {
        struct block *last = tide_heap_last_of_run(first, most - count, &run);
        struct pool *pool = tide_pool_of(first);

        *list = last->next;
        last->next = NULL;
        if (tide_relaxed(&pool->owner) == heap)
            tide_heap_put_back(heap, pool, first, last, run);
        else
            set_all_aside(aside, first);
    }
    return count;
}

/* Makes the current pool an ordinary one: used, full, or gone. */
static void retire_current(struct heap *heap, unsigned size_class)
{
    struct pool *pool = heap->current[size_class];

    if (!pool)
        return;
    tide_heap_make_current(heap, size_class, NULL);
    if (tide_relaxed(&pool->left) == 0) {
        tide_set_relaxed(&pool->state, POOL_FULL); /* in no list */
        tide_heap_place(heap, pool, POOL_IS_EMPTY);
    } else if (tide_pool_is_worth_using(pool)) {
        tide_heap_place(heap, pool, POOL_IS_USABLE);
    } else {
        tide_pool_fill(pool);
    }
}

static void tidy_lists(struct heap *heap, struct tide_aside *aside)
{
    struct tidying *tidying = &heap->tidying;
    unsigned work = 0;

    set_outbox_aside(aside, &heap->outbox);
    while (work < MOST_BLOCKS && tidying->size_class < TIDE_CLASSES) {
        unsigned c = tidying->size_class;

        work += heap->surplus[c].count + 1;
        set_all_aside(aside, tide_heap_take_surplus(heap, c));
        work += take_list(heap, aside, c, MOST_BLOCKS);
        if (heap->list[c].freed)
            continue;
        heap->foreign[c] = 0;
        tide_heap_make_shallow(heap, c);
        retire_current(heap, c);
        tidying->size_class++;
    }
    if (tidying->size_class == TIDE_CLASSES) {
        tidying->size_class = 0;
        tidying->step = TIDY_STOCK;
    }
}

/* ---- Pools ------------------------------------------------------------- */

static void set_pool_aside(struct tide_aside *aside, struct pool *pool)
{
    pool->next = aside->pools.emptied;
    aside->pools.emptied = pool;
}

static void tidy_stock(struct heap *heap, struct tide_aside *aside)
{
    struct pool *pool;

    if (tide_heap_drain(heap, MOST_POOLS))
        return;
    for (unsigned n = 0; (pool = tide_heap_take_stocked(heap, 1)); n++) {
        set_pool_aside(aside, pool);
        if (n == MOST_POOLS)
            return;
    }
    if ((pool = tide_heap_take_stocked(heap, TIDE_WIDE_SLOTS)))
        set_pool_aside(aside, pool);
    aside->arena = heap->tenant.arena;
    heap->tenant.arena = NULL;
    heap->tidying.step = TIDY_POOLS;
}

static bool is_idle(struct pool *pool)
{
    uint8_t now = tide_relaxed(&look);
    bool is_so = pool->unused_since != 0 && pool->unused_since != now;

    if (pool->unused_since == 0)
        pool->unused_since = now;
    return is_so;
}

/* How much work it was, in blocks. */
static unsigned tidy_pool(struct heap *heap, struct pool *pool, struct tide_aside *aside)
{
    uint16_t before = pool->free_at_look;

    if (heap->tidying.is_only_idle && !is_idle(pool))
        return 1;
    if (tide_heap_set_pages_aside(heap, pool, &aside->pages[aside->page_count]))
        aside->page_count++;
    return pool->free_at_look == before ? POOL_WORK : POOL_WORK + pool->capacity;
}

static void tidy_pools(struct heap *heap, struct tide_aside *aside)
{
    struct tidying *tidying = &heap->tidying;

    for (unsigned work = 0; work < MOST_BLOCKS && aside->page_count < ASIDE_PAGES;) {
        struct pool *pool = tidying->cursor;

        if (pool) {
            tidying->cursor = pool->next;
            work += tidy_pool(heap, pool, aside);
        } else if (tidying->size_class < TIDE_CLASSES) {
            tidying->cursor = heap->used[tidying->size_class++];
        } else {
            tidying->step = TIDY_DONE;
            return;
        }
    }
}

static void do_step(struct heap *heap, struct tide_aside *aside)
{
    switch (heap->tidying.step) {
    case TIDY_LISTS:
        tidy_lists(heap, aside);
        break;
    case TIDY_STOCK:
        tidy_stock(heap, aside);
        break;
    case TIDY_POOLS:
        if (!tide_heap_drain(heap, MOST_POOLS))
            tidy_pools(heap, aside);
        break;
    default:
        tide_heap_drain(heap, MOST_POOLS);
        break;
    }
}

/* What is moved here doesn't count as use. */
static void note_moves(struct heap *heap)
{
    struct tidying *tidying = &heap->tidying;
    uint32_t moves = tide_relaxed(&heap->moves);

    tidying->moves = moves;
    if (tidying->is_disturbed)
        return;
    tide_set_relaxed(&heap->moves_seen, moves);
    if (tidying->step == TIDY_DONE && !tidying->is_only_idle)
        tide_set_relaxed(&heap->moves_rested, moves);
}

bool tide_heap_tidy(struct heap *heap, struct tide_aside *aside)
{
    struct aside *before = heap->aside;

    heap->tidying.is_disturbed |= heap->tidying.moves != tide_relaxed(&heap->moves);
    heap->aside = &aside->pools;
    do_step(heap, aside);
    heap->aside = before;
    note_moves(heap);
    return heap->tidying.step != TIDY_DONE || tide_heap_has_arrivals(heap);
}

/* ---- What was set aside ------------------------------------------------ */

void tide_aside_init(struct tide_aside *aside)
{
    aside->blocks = NULL;
    aside->pools = (struct aside){ .emptied = NULL };
    aside->arena = NULL;
    aside->page_count = 0;
}

size_t tide_aside_dispose(struct tide_aside *aside)
{
    size_t purged = 0;

    for (unsigned n = 0; n < aside->page_count; n++) {
        purged += tide_pool_purge(&aside->pages[n]);
        tide_heap_send_pages_home(&aside->pages[n]);
    }
    tide_heap_send_home(aside->blocks);
    tide_heap_put_pools(aside->pools.emptied);
    tide_arena_leave(&(struct tide_tenant){ .arena = aside->arena });
    tide_aside_init(aside);
    return purged;
}

void tide_heap_tidy_all(struct heap *heap)
{
    struct tide_aside aside;

    tide_aside_init(&aside);
    tide_heap_tidy_begin(heap, false);
    while (tide_heap_tidy(heap, &aside) && heap->tidying.step != TIDY_POOLS)
        tide_aside_dispose(&aside);
    tide_aside_dispose(&aside);
}
