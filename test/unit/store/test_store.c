/* test_store.c - store/: ranges against a plain model of them */
#include "store/store.h"

#include "../unit.h"
#include "base/atomic.h"
#include "os/map.h"
#include "store/page_map.h"
#include "store/purge.h"
#include "store/ranges.h"

#define PAGE tide_os_page_bytes

enum { SLOTS = 200, ROUNDS = 20000, MOST_PAGES = 3000 };

/* What a slot of the model has. */
struct own {
    struct tide_range *range;
    char *start;
    size_t bytes;
    unsigned char mark; /* on each of its pages that was touched; the first so many */
    size_t touched;
};

static struct own owns[SLOTS];
static uint64_t state = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

/* Few are long. */
static size_t draw_bytes(void)
{
    return (1 + draw(1 + draw(draw(8) == 0 ? MOST_PAGES : 40))) * PAGE;
}

static void touch(struct own *own, size_t pages)
{
    own->touched = pages;
    for (size_t n = 0; n < pages; n++)
        own->start[n * PAGE] = (char)own->mark;
}

static void check_marks(const struct own *own)
{
    for (size_t n = 0; n < own->touched; n++)
        TIDE_REQUIRE(own->start[n * PAGE] == (char)own->mark);
}

static void check_zero(const char *start, size_t bytes)
{
    for (size_t n = 0; n < bytes; n += PAGE / 2)
        TIDE_REQUIRE(start[n] == 0);
}

static void check_apart(const struct own *own)
{
    for (int n = 0; n < SLOTS; n++)
        TIDE_REQUIRE(&owns[n] == own || !owns[n].range ||
                     own->start + own->bytes <= owns[n].start ||
                     owns[n].start + owns[n].bytes <= own->start);
}

static void note_extent(struct own *own)
{
    TIDE_REQUIRE(own->range->start == own->start && own->range->bytes == own->bytes);
    check_apart(own);
}

static void take(struct own *own)
{
    struct tide_request request = {
        .bytes = draw_bytes(),
        .alignment = PAGE << (draw(4) == 0 ? draw(12) : 0),
        .state = draw(2) == 0 ? RANGE_BLOCK : RANGE_USED,
        .is_zero_wanted = draw(3) == 0,
    };
    size_t fresh;

    own->range = tide_store_take(&request, &fresh);
    TIDE_REQUIRE(own->range && fresh <= request.bytes);
    own->start = own->range->start;
    own->bytes = request.bytes;
    own->mark = (unsigned char)(1 + draw(255));
    TIDE_REQUIRE(((uintptr_t)own->start & (request.alignment - 1)) == 0);
    note_extent(own);
    if (fresh == request.bytes)
        check_zero(own->start, own->bytes);
    if (request.state == RANGE_BLOCK)
        TIDE_REQUIRE(tide_store_block(own->start) == own->range);
    touch(own, draw(own->bytes / PAGE + 1));
}

static void put(struct own *own)
{
    check_marks(own);
    if (draw(8) == 0) {
        tide_os_purge(own->start, own->bytes);
        tide_store_put(own->range, RANGE_PURGED);
    } else {
        tide_store_put(own->range, RANGE_DIRTY);
    }
    own->range = NULL;
}

static void shrink(struct own *own)
{
    size_t pages = own->bytes / PAGE, fewer = 1 + draw(pages);

    if (fewer == pages)
        return;
    TIDE_REQUIRE(tide_store_shrink(own->range, fewer * PAGE));
    own->bytes = fewer * PAGE;
    own->touched = own->touched < fewer ? own->touched : fewer;
    note_extent(own);
}

static void extend(struct own *own)
{
    size_t more = own->bytes + draw_bytes(), fresh;

    if (!tide_store_extend(own->range, more, &fresh))
        return;
    if (fresh == more - own->bytes)
        check_zero(own->start + own->bytes, fresh);
    own->bytes = more;
    note_extent(own);
}

static void move(struct own *own)
{
    size_t more = own->bytes + draw_bytes();
    struct tide_range *moved;

    if (own->range->state != RANGE_BLOCK)
        return;
    moved = tide_store_move(own->range, more);
    if (!moved)
        return;
    own->range = moved;
    own->start = moved->start;
    own->bytes = more;
    note_extent(own);
}

static void change(struct own *own)
{
    switch (draw(6)) {
    case 0:
        shrink(own);
        break;
    case 1:
        extend(own);
        break;
    case 2:
        move(own);
        break;
    default:
        put(own);
        break;
    }
}

static void check_totals(size_t used_before)
{
    size_t bytes = 0, blocks = 0, block_bytes = 0;
    struct tide_store_totals totals = tide_store_totals();

    for (int n = 0; n < SLOTS; n++)
        if (owns[n].range) {
            bytes += owns[n].bytes;
            blocks += owns[n].range->state == RANGE_BLOCK;
            block_bytes += owns[n].range->state == RANGE_BLOCK ? owns[n].bytes : 0;
        }
    TIDE_REQUIRE(tide_relaxed(&tide_store_used) == used_before + bytes);
    TIDE_REQUIRE(totals.blocks == blocks && totals.block_bytes == block_bytes);
    TIDE_REQUIRE(totals.dirty_bytes == tide_relaxed(&tide_store_dirty));
}

PROGRAM(any_sequence)
{
    size_t used_before;

    tide_os_start();
    used_before = tide_relaxed(&tide_store_used);
    for (int round = 0; round < ROUNDS; round++) {
        struct own *own = &owns[draw(SLOTS)];

        if (own->range)
            change(own);
        else
            take(own);
        if (draw(50) == 0)
            tide_store_purge(draw(tide_relaxed(&tide_store_dirty) + 1), draw_bytes());
        if (draw(200) == 0)
            tide_store_purge(0, SIZE_MAX);
        if (round % 100 == 0) {
            tide_store_check();
            check_totals(used_before);
        }
    }
    for (int n = 0; n < SLOTS; n++)
        if (owns[n].range)
            put(&owns[n]);
    tide_store_check();
    check_totals(used_before);
    TIDE_REQUIRE(tide_store_purge(0, SIZE_MAX) > 0);
    TIDE_REQUIRE(tide_relaxed(&tide_store_dirty) == 0);
    TIDE_REQUIRE(tide_store_totals().dirty_ranges == 0);
}

Test(store, any_sequence_agrees_with_a_model)
{
    assert_ended_well(run_program("any_sequence", NULL, NULL));
}
