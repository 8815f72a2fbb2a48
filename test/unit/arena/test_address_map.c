/* test_address_map.c - arena/address_map.h
 *
 * Entries need no memory behind them, so most tests use a far part of the
 * address space in which nothing lies.
 */
#include "arena/address_map.h"

#include <errno.h>
#include <sys/syscall.h>

#include "../unit.h"
#include "os/map.h"

#define PIECE TIDE_ARENA_BYTES
#define LIMIT ((uintptr_t)1 << TIDE_ADDRESS_BITS)

/* In place of the C library's: puts the home window's table where HOME_TABLE says;
 * and what another thread does meanwhile. */
static void (*meanwhile)(void);
static char *last_mapped;

void *mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset)
{
    const char *place = getenv("HOME_TABLE");
    void (*now)(void) = meanwhile;

    meanwhile = NULL;
    if (now)
        now();
    if (place && protection == PROT_READ && bytes == 2 * TIDE_MAP_PART_BYTES)
        start = (void *)strtoul(place, NULL, 16);
    last_mapped = (char *)syscall(SYS_mmap, start, bytes, protection, flags, file, offset);
    return last_mapped;
}

/* Far from everything, and the nth place is far from the others. */
static char *far_place(unsigned n)
{
    return (char *)(LIMIT / 4 + n * (LIMIT / 64));
}

/* Where the part of the table that must be made writable next to place begins:
 * found by what fails. */
static bool is_ready(const char *place)
{
    bool is_set;

    tide_os_fail_map_every(1);
    is_set = tide_address_map_set(place, 1, TIDE_OTHER, TIDE_OTHER);
    tide_os_fail_map_every(0);
    return is_set;
}

static void assert_entries(const char *start, size_t count, enum tide_memory expected)
{
    for (size_t n = 0; n < count; n++)
        cr_assert_eq(tide_memory_at(start + n * PIECE), expected, "piece %zu", n);
}

/* ---- The home window ---------------------------------------------------- */

#define PART (TIDE_MAP_PART_BYTES << TIDE_ARENA_SHIFT) /* bytes of address space */

static char *home(size_t offset)
{
    return (char *)tide_map_base + offset;
}

/* Within it a free sees no more than whether an arena is there. */
static void assert_home(const char *address)
{
    cr_assert(tide_address_map_set(address, 1, TIDE_ARENA, TIDE_ARENA));
    cr_assert_eq(tide_memory_at(address), TIDE_ARENA);
    cr_assert(tide_is_in_home_arena(address));
    tide_address_map_clear(address, 1);
    cr_assert_eq(tide_memory_at(address), TIDE_OTHER);
    cr_assert_not(tide_is_in_home_arena(address));
}

Test(address_map, the_home_window_is_two_parts)
{
    cr_assert_eq(tide_map_pieces, 2 * TIDE_MAP_PART_BYTES);
    cr_assert_eq(tide_map_base % PART, 0);
    cr_assert_leq(tide_map_base + 2 * PART, LIMIT);
}

Test(address_map, the_first_mappings_are_not_near_the_windows_edges)
{
    uintptr_t first = (uintptr_t)tide_map_home - tide_map_base;

    cr_assert_geq(first, PART / 2);
    cr_assert(first < 3 * PART / 2 || tide_map_base + 2 * PART == LIMIT);
}

PROGRAM(home)
{
    uintptr_t place = strtoul(getenv("HOME_TABLE"), NULL, 16);

    if ((uintptr_t)tide_map_home != place) { /* a sanitizer has something there */
        TIDE_REQUIRE(is_mapped((void *)place));
        return;
    }
    TIDE_REQUIRE(tide_map_base == strtoul(getenv("HOME_BASE"), NULL, 16));
    TIDE_REQUIRE(tide_address_map_set((void *)place, PIECE, TIDE_ARENA, TIDE_ARENA));
    TIDE_REQUIRE(tide_is_in_home_arena((void *)place));
}

static void assert_home_for(uintptr_t place, uintptr_t base)
{
    char table[40], wanted[40];

    snprintf(table, sizeof table, "HOME_TABLE=%zx", (size_t)place);
    snprintf(wanted, sizeof wanted, "HOME_BASE=%zx", (size_t)base);
    assert_ended_well(run_program("home", table, wanted));
}

Test(address_map, home_is_the_first_mappings_part_and_the_one_that_is_nearer)
{
    assert_home_for(LIMIT / 4 + PART / 4, LIMIT / 4 - PART);
    assert_home_for(LIMIT / 4 + PART / 4 * 3, LIMIT / 4);
    assert_home_for(PART / 4, 0);
    assert_home_for(PART / 4 * 3, 0);
    assert_home_for(LIMIT - PART / 4 * 3, LIMIT - 2 * PART);
    assert_home_for(LIMIT - PART / 4, LIMIT - 2 * PART);
}

Test(address_map, in_the_window_arenas_are_seen_at_once)
{
    assert_home(home(0));
    assert_home(home(PART - 1));
    assert_home(home(PART));
    assert_home(home(2 * PART - PIECE));
}

Test(address_map, an_arena_away_from_home_is_found_all_the_same)
{
    char *places[] = { far_place(0), home(0) - PIECE, home(2 * PART) };

    for (size_t n = 0; n < 3; n++) {
        if ((uintptr_t)places[n] >= LIMIT)
            continue;
        cr_assert(tide_address_map_set(places[n], PIECE, TIDE_ARENA, TIDE_ARENA));
        cr_assert_not(tide_is_in_home_arena(places[n]));
        cr_assert_eq(tide_memory_at(places[n] + PIECE - 1), TIDE_ARENA);
    }
    cr_assert_eq(tide_memory_at(home(0)), TIDE_OTHER);
}

static void assert_foreign(uintptr_t address)
{
    cr_assert_eq(tide_memory_at((void *)address), TIDE_OTHER, "%#zx", (size_t)address);
    cr_assert_not(tide_is_in_home_arena((void *)address), "%#zx", (size_t)address);
}

/* With an arena at either end of the window and of the address space: whatever
 * wraps around or is cut off would find these. */
Test(address_map, addresses_that_no_program_has_are_foreign)
{
    char *ends[] = { home(0), home(2 * PART - PIECE), (char *)(LIMIT - PIECE) };

    for (size_t n = 0; n < 3; n++)
        cr_assert(tide_address_map_set(ends[n], PIECE, TIDE_ARENA, TIDE_ARENA));
    for (unsigned bit = TIDE_ADDRESS_BITS; bit < 64; bit++)
        for (size_t n = 0; n < 3; n++) {
            assert_foreign((uintptr_t)ends[n] + ((uintptr_t)1 << bit));
            assert_foreign((uintptr_t)ends[n] | ~UINT64_C(0) << bit);
        }
    assert_foreign(LIMIT);
    assert_foreign(UINTPTR_MAX);
    assert_foreign(~(LIMIT - 1)); /* the kernel's first */
}

/* ---- Any address --------------------------------------------------------- */

Test(address_map, any_address_may_be_asked_about)
{
    static int variable;
    int local = 0;

    cr_assert_eq(tide_memory_at(NULL), TIDE_OTHER);
    cr_assert_eq(tide_memory_at((void *)1), TIDE_OTHER);
    cr_assert_eq(tide_memory_at(&variable), TIDE_OTHER);
    cr_assert_eq(tide_memory_at(&local), TIDE_OTHER);
    cr_assert_eq(tide_memory_at((void *)tide_map_home), TIDE_OTHER);
    cr_assert_eq(tide_memory_at((void *)(LIMIT - 1)), TIDE_OTHER);
    cr_assert_eq(tide_memory_at((void *)LIMIT), TIDE_OTHER);
    cr_assert_eq(tide_memory_at((void *)(LIMIT * 2 + PIECE)), TIDE_OTHER);
    cr_assert_eq(tide_memory_at((void *)UINTPTR_MAX), TIDE_OTHER);
}

/* ---- Entries ------------------------------------------------------------- */

Test(address_map, the_first_piece_and_the_rest_are_entered)
{
    char *place = far_place(0);

    cr_assert(tide_address_map_set(place, 5 * PIECE, TIDE_OTHER, TIDE_ARENA));
    assert_entries(place - PIECE, 2, TIDE_OTHER);
    assert_entries(place + PIECE, 4, TIDE_ARENA);
    assert_entries(place + 5 * PIECE, 1, TIDE_OTHER);
    cr_assert(tide_address_map_set(place, 4 * PIECE, TIDE_ARENA, TIDE_OTHER));
    assert_entries(place, 1, TIDE_ARENA);
    assert_entries(place + PIECE, 3, TIDE_OTHER);
    assert_entries(place + 4 * PIECE, 1, TIDE_ARENA);
}

Test(address_map, an_entry_holds_for_every_byte_of_its_piece)
{
    char *place = far_place(0);

    cr_assert(tide_address_map_set(place, PIECE, TIDE_ARENA, TIDE_OTHER));
    cr_assert_eq(tide_memory_at(place - 1), TIDE_OTHER);
    cr_assert_eq(tide_memory_at(place), TIDE_ARENA);
    cr_assert_eq(tide_memory_at(place + PIECE - 1), TIDE_ARENA);
    cr_assert_eq(tide_memory_at(place + PIECE), TIDE_OTHER);
}

Test(address_map, a_range_covers_the_pieces_it_touches)
{
    char *place = far_place(0);

    cr_assert(tide_address_map_set(place + PIECE - 1, PIECE + 2, TIDE_ARENA, TIDE_ARENA));
    assert_entries(place, 3, TIDE_ARENA);
    assert_entries(place + 3 * PIECE, 1, TIDE_OTHER);
    tide_address_map_clear(place + PIECE - 1, PIECE + 1);
    assert_entries(place, 2, TIDE_OTHER);
    assert_entries(place + 2 * PIECE, 1, TIDE_ARENA);
}

Test(address_map, cleared_pieces_are_foreign_and_their_neighbours_stay)
{
    char *place = far_place(0);

    cr_assert(tide_address_map_set(place, 5 * PIECE, TIDE_ARENA, TIDE_ARENA));
    tide_address_map_clear(place + PIECE, 3 * PIECE);
    assert_entries(place, 1, TIDE_ARENA);
    assert_entries(place + PIECE, 3, TIDE_OTHER);
    assert_entries(place + 4 * PIECE, 1, TIDE_ARENA);
}

Test(address_map, the_last_piece_of_the_address_space_has_an_entry)
{
    char *last = (char *)(LIMIT - PIECE);

    cr_assert(tide_address_map_set(last, PIECE, TIDE_ARENA, TIDE_ARENA));
    assert_entries(last, 1, TIDE_ARENA);
}

Test(address_map, without_memory_nothing_is_entered)
{
    char *place = far_place(1);

    tide_os_fail_map_every(1);
    errno = 0;
    cr_assert_not(tide_address_map_set(place, 2 * PIECE, TIDE_ARENA, TIDE_ARENA));
    cr_assert_eq(errno, ENOMEM);
    assert_entries(place, 2, TIDE_OTHER);
    tide_os_fail_map_every(0);
    cr_assert(tide_address_map_set(place, 2 * PIECE, TIDE_ARENA, TIDE_ARENA));
    assert_entries(place, 2, TIDE_ARENA);
}

Test(address_map, a_part_in_use_needs_no_more_memory)
{
    char *place = far_place(1);

    cr_assert(tide_address_map_set(place, PIECE, TIDE_ARENA, TIDE_ARENA));
    tide_os_fail_map_every(1);
    tide_address_map_clear(place, PIECE);
    assert_entries(place, 1, TIDE_OTHER);
    cr_assert(tide_address_map_set(place, PIECE, TIDE_ARENA, TIDE_ARENA));
    assert_entries(place, 1, TIDE_ARENA);
}

Test(address_map, a_range_that_can_be_entered_only_in_part_is_not_entered)
{
    char *place = far_place(2), *edge;

    /* The end of the part of the table that becomes writable with place's entry. */
    cr_assert_not(is_ready(place));
    cr_assert(tide_address_map_set(place, PIECE, TIDE_OTHER, TIDE_OTHER));
    for (edge = place; is_ready(edge); edge += PIECE)
        cr_assert_lt(edge, far_place(3));
    tide_os_fail_map_every(1);
    cr_assert_not(tide_address_map_set(edge - 3 * PIECE, 5 * PIECE, TIDE_ARENA, TIDE_ARENA));
    assert_entries(edge - 3 * PIECE, 5, TIDE_OTHER);
    tide_os_fail_map_every(0);
    cr_assert(tide_address_map_set(edge - 3 * PIECE, 5 * PIECE, TIDE_ARENA, TIDE_ARENA));
    assert_entries(edge - 3 * PIECE, 5, TIDE_ARENA);
}

/* ---- Parts --------------------------------------------------------------- */

/* The border below which nothing was entered. */
static char *border(unsigned n)
{
    return (char *)tide_round_down((uintptr_t)far_place(n), PART);
}

Test(address_map, a_range_may_cross_parts)
{
    char *start = border(3) - 2 * PIECE;
    size_t bytes = PART + 5 * PIECE;

    cr_assert(tide_address_map_set(start, bytes, TIDE_ARENA, TIDE_ARENA));
    assert_entries(start - PIECE, 1, TIDE_OTHER);
    assert_entries(start, TIDE_MAP_PART_BYTES + 5, TIDE_ARENA);
    assert_entries(start + bytes, 1, TIDE_OTHER);
    tide_address_map_clear(start, bytes);
    assert_entries(start, TIDE_MAP_PART_BYTES + 5, TIDE_OTHER);
}

/* Each of the two takes a request to be made and one to be written. */
Test(address_map, without_all_tables_it_needs_nothing_is_entered)
{
    for (unsigned n = 1; n <= 4; n++) {
        char *start = border(8 + 2 * n) - PIECE;

        tide_os_fail_map_every(n);
        errno = 0;
        cr_assert_not(tide_address_map_set(start, 2 * PIECE, TIDE_ARENA, TIDE_ARENA));
        cr_assert_eq(errno, ENOMEM);
        tide_os_fail_map_every(0);
        assert_entries(start, 2, TIDE_OTHER);
        cr_assert(tide_address_map_set(start, 2 * PIECE, TIDE_ARENA, TIDE_ARENA));
        assert_entries(start, 2, TIDE_ARENA);
    }
}

/* ---- Threads ------------------------------------------------------------- */

enum { ROUNDS = 40, THREADS = 3 };

static _Atomic unsigned ready;

/* All enter into the same new stretches, each pieces of its own. */
static void enter_pieces(void *argument)
{
    uintptr_t mine = *(unsigned *)argument;

    for (unsigned n = 0; n < ROUNDS; n++) {
        char *place = far_place(0) + n * (PART / 2) + mine * PIECE;

        atomic_fetch_add(&ready, 1);
        while (tide_relaxed(&ready) < THREADS * (n + 1))
            ;
        TIDE_REQUIRE(tide_address_map_set(place, PIECE, TIDE_ARENA, TIDE_ARENA));
        TIDE_REQUIRE(tide_memory_at(place) == TIDE_ARENA);
    }
}

static char *others_mapped;

static void enter_other(void *place)
{
    TIDE_REQUIRE(tide_address_map_set(place, PIECE, TIDE_ARENA, TIDE_ARENA));
    others_mapped = last_mapped;
}

static void enter_meanwhile(void)
{
    run_thread(enter_other, far_place(1) + PIECE);
}

/* Between this thread's look for the table and its making one. */
Test(address_map, the_table_that_is_made_first_stays)
{
    meanwhile = enter_meanwhile;
    cr_assert(tide_address_map_set(far_place(1), PIECE, TIDE_ARENA, TIDE_ARENA));
    assert_entries(far_place(1), 1, TIDE_ARENA);
    assert_entries(far_place(1) + PIECE, 1, TIDE_ARENA);
    cr_assert(is_mapped(others_mapped) && last_mapped != others_mapped);
    cr_assert_not(is_mapped(last_mapped), "this thread's was given back");
}

Test(address_map, threads_may_make_the_same_table_at_the_same_time)
{
    struct peer peers[THREADS];
    unsigned numbers[THREADS];

    for (unsigned n = 0; n < THREADS; n++) {
        numbers[n] = n;
        peer_start(&peers[n]);
        peer_ask(&peers[n], enter_pieces, &numbers[n]);
    }
    for (int n = 0; n < THREADS; n++) {
        peer_wait(&peers[n]);
        peer_end(&peers[n]);
    }
    for (unsigned n = 0; n < ROUNDS; n++)
        assert_entries(far_place(0) + n * (PART / 2), THREADS, TIDE_ARENA);
}
