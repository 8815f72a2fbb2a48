/* store/ranges.c - see ranges.h */
#include "store/ranges.h"

#include "base/fatal.h"
#include "base/lock.h"
#include "machine/hwloc_plugin.h"
#include "os/map.h"
#include "os/records.h"
#include "store/page_map.h"
#include "store/tree.h"

enum {
    RECORDS = 64,   /* that are made at a time */
    MOST_TRIES = 8, /* ranges in which an aligned place is looked for */
};

struct tide_range_list tide_ranges[RANGE_STATES];
uint32_t tide_ranges_copy;

struct tide_lock tide_ranges_lock = TIDE_LOCK_INITIALIZER;

static struct tide_range *trees[TIDE_MOST_NODES][RANGE_PURGED + 1];
static struct tide_range *spares; /* linked by older */
static unsigned spare_count;

/* ---- Records ------------------------------------------------------------ */

static void add_spares(struct tide_range *records)
{
    for (unsigned n = 0; n < RECORDS; n++)
        tide_ranges_drop(&records[n]);
}

bool tide_ranges_lock_with(unsigned count)
{
    struct tide_range *records;

    tide_lock(&tide_ranges_lock);
    while (spare_count < count) {
        tide_unlock(&tide_ranges_lock);
        records = tide_os_record(RECORDS * sizeof *records);
        if (!records)
            return false;
        tide_lock(&tide_ranges_lock);
        add_spares(records);
    }
    return true;
}

struct tide_range *tide_ranges_new(void)
{
    struct tide_range *range = spares;

    TIDE_ASSERT(spare_count > 0);
    spares = range->older;
    spare_count--;
    *range = (struct tide_range){ .copy = tide_ranges_copy };
    return range;
}

struct tide_range *tide_ranges_new_piece(const struct tide_range *whole, char *start, size_t bytes)
{
    struct tide_range *range = tide_ranges_new();

    range->start = start;
    range->bytes = bytes;
    range->home = whole->home;
    range->is_patched = whole->is_patched;
    range->state = RANGE_USED;
    return range;
}

void tide_ranges_drop(struct tide_range *range)
{
    range->state = RANGE_USED;
    range->start = NULL;
    range->older = spares;
    spares = range;
    spare_count++;
}

/* ---- The page map -------------------------------------------------------- */

static char *last_page(const struct tide_range *range)
{
    return tide_range_end(range) - tide_os_page_bytes;
}

/* Where neighbours look for a free range, and who has a block for that. */
static void show_as(struct tide_range *range, struct tide_range *what)
{
    if (range->state != RANGE_BUSY)
        tide_page_map_set(range->start, what);
    if (tide_range_is_free(range))
        tide_page_map_set(last_page(range), what);
}

static void show(struct tide_range *range)
{
    show_as(range, range);
}

static void hide(struct tide_range *range)
{
    show_as(range, NULL);
}

/* ---- Lists and trees ----------------------------------------------------- */

/* NULL: as the newest. */
static void link_after(struct tide_range *range, struct tide_range *older)
{
    struct tide_range_list *list = &tide_ranges[range->state];

    range->older = older ? older : list->newest;
    range->newer = older ? older->newer : NULL;
    *(range->older ? &range->older->newer : &list->oldest) = range;
    *(range->newer ? &range->newer->older : &list->newest) = range;
    list->count++;
    list->bytes += range->bytes;
}

static void unlink_range(struct tide_range *range)
{
    struct tide_range_list *list = &tide_ranges[range->state];

    *(range->older ? &range->older->newer : &list->oldest) = range->newer;
    *(range->newer ? &range->newer->older : &list->newest) = range->older;
    list->count--;
    list->bytes -= range->bytes;
}

static struct tide_range **tree_of(const struct tide_range *range)
{
    return &trees[range->home][range->state];
}

/* A free range is where others find it, or not. */
static void offer(struct tide_range *range)
{
    show(range);
    tide_tree_insert(tree_of(range), range);
}

static void withdraw(struct tide_range *range)
{
    hide(range);
    tide_tree_remove(tree_of(range), range);
}

static void enter(struct tide_range *range, struct tide_range *older)
{
    link_after(range, older);
    if (tide_range_is_free(range))
        offer(range);
    else
        show(range);
}

void tide_ranges_enter(struct tide_range *range, enum tide_range_state state)
{
    range->state = (uint8_t)state;
    enter(range, NULL);
}

void tide_ranges_enter_beside(struct tide_range *range, const struct tide_range *other)
{
    range->state = other->state;
    tide_set_relaxed(&range->stamp, tide_relaxed(&other->stamp));
    enter(range, (struct tide_range *)other);
}

void tide_ranges_leave(struct tide_range *range)
{
    if (tide_range_is_free(range))
        withdraw(range);
    else
        hide(range);
    unlink_range(range);
}

/* ---- Joining and cutting ------------------------------------------------- */

static bool is_joinable(const struct tide_range *range, enum tide_range_state state, unsigned home)
{
    return range && range->state == state && range->home == home &&
           range->copy == tide_ranges_copy;
}

struct tide_range *tide_ranges_free_at(const char *address, unsigned home)
{
    struct tide_range *range = tide_page_map_get(address);

    return is_joinable(range, RANGE_DIRTY, home) || is_joinable(range, RANGE_PURGED, home) ? range
                                                                                           : NULL;
}

struct tide_range *tide_ranges_free_before(const char *address, unsigned home)
{
    return tide_ranges_free_at(address - tide_os_page_bytes, home);
}

/* The bytes of a list's range change. */
static void set_extent(struct tide_range *range, char *start, size_t bytes)
{
    tide_ranges[range->state].bytes += bytes - range->bytes;
    range->start = start;
    range->bytes = bytes;
}

static void swap_records(struct tide_range **one, struct tide_range **other)
{
    struct tide_range *first = *one;

    *one = *other;
    *other = first;
}

/* The whole is what is larger; both are listed, the other one's record goes. */
static struct tide_range *join(struct tide_range *range, struct tide_range *other)
{
    char *start = range->start < other->start ? range->start : other->start;
    size_t bytes = range->bytes + other->bytes;

    if (other->bytes > range->bytes)
        swap_records(&range, &other);
    range->patches += other->patches;
    range->is_patched |= other->is_patched;
    unlink_range(other);
    tide_ranges_drop(other);
    set_extent(range, start, bytes);
    return range;
}

struct tide_range *tide_ranges_join(struct tide_range *range, enum tide_range_state state)
{
    struct tide_range *before = tide_page_map_get(range->start - tide_os_page_bytes);
    struct tide_range *after = tide_page_map_get(tide_range_end(range));

    range->state = (uint8_t)state;
    link_after(range, NULL);
    if (is_joinable(before, state, range->home)) {
        withdraw(before);
        range = join(range, before);
    }
    if (is_joinable(after, state, range->home)) {
        withdraw(after);
        range = join(range, after);
    }
    offer(range);
    return range;
}

void tide_ranges_cut_front(struct tide_range *range, size_t bytes)
{
    withdraw(range);
    set_extent(range, range->start + bytes, range->bytes - bytes);
    offer(range);
}

void tide_ranges_cut_back(struct tide_range *range, size_t bytes)
{
    withdraw(range);
    set_extent(range, range->start, range->bytes - bytes);
    offer(range);
}

void tide_ranges_resize(struct tide_range *range, size_t bytes)
{
    set_extent(range, range->start, bytes);
}

/* ---- Finding ------------------------------------------------------------- */

static bool fits(const struct tide_range *range, size_t bytes, size_t alignment)
{
    size_t lead = -(uintptr_t)range->start & (alignment - 1);

    return range->bytes >= lead && range->bytes - lead >= bytes;
}

struct tide_range *tide_ranges_fit(enum tide_range_state state, unsigned home, size_t bytes,
                                   size_t alignment)
{
    struct tide_range *tree = trees[home][state], *range = tide_tree_fit(tree, bytes);

    for (int tries = 0; range && !fits(range, bytes, alignment); tries++)
        range = tries < MOST_TRIES ? tide_tree_next(tree, range)
                                   : tide_tree_fit(tree, bytes + alignment - tide_os_page_bytes);
    return range;
}

struct tide_range *tide_ranges_largest(enum tide_range_state state, unsigned home)
{
    return tide_tree_last(trees[home][state]);
}

/* ---- Copies of the process, checks --------------------------------------- */

void tide_ranges_mend(void)
{
    struct tide_range *block = NULL;

    for (unsigned home = 0; home < TIDE_MOST_NODES; home++)
        for (unsigned state = 0; state <= RANGE_PURGED; state++)
            trees[home][state] = NULL;
    for (unsigned state = 0; state < RANGE_STATES; state++)
        tide_ranges[state] = (struct tide_range_list){ .count = 0 };
    spares = NULL;
    spare_count = 0;
    tide_ranges_copy++;
    while ((block = tide_page_map_next_block(block)))
        link_after(block, NULL);
}

static size_t check_tree(struct tide_range *tree, unsigned state)
{
    size_t count = 0;

    for (struct tide_range *range = tide_tree_fit(tree, 0), *next; range; range = next, count++) {
        next = tide_tree_next(tree, range);
        TIDE_REQUIRE(range->state == state && range->bytes > 0);
        TIDE_REQUIRE(!next || next->bytes >= range->bytes);
        TIDE_REQUIRE(tide_page_map_get(range->start) == range);
        TIDE_REQUIRE(tide_page_map_get(last_page(range)) == range);
        TIDE_REQUIRE(!is_joinable(tide_page_map_get(tide_range_end(range)), state, range->home));
    }
    return count;
}

void tide_ranges_check(void)
{
    for (unsigned state = 0; state < RANGE_USED; state++) {
        size_t count = 0, bytes = 0, in_trees = 0;

        for (struct tide_range *range = tide_ranges[state].oldest; range; range = range->newer) {
            TIDE_REQUIRE(!range->newer || range->newer->older == range);
            count++;
            bytes += range->bytes;
        }
        TIDE_REQUIRE(count == tide_ranges[state].count && bytes == tide_ranges[state].bytes);
        for (unsigned home = 0; state <= RANGE_PURGED && home < TIDE_MOST_NODES; home++)
            in_trees += check_tree(trees[home][state], state);
        TIDE_REQUIRE(state > RANGE_PURGED || in_trees == count);
    }
}
