/* arena/address_map.c - see address_map.h
 *
 * Which stretches of tables are writable is a bit each, set once that is so and
 * never cleared.
 */
#include "arena/address_map.h"

#include "base/bits.h"
#include "os/map.h"

#define PIECES (UINT64_C(1) << (TIDE_ADDRESS_BITS - TIDE_ARENA_SHIFT))
#define PARTS (PIECES / TIDE_MAP_PART_BYTES)
#define HOME_PARTS 2

/* Large enough for any page size. */
#define STRETCH_BYTES ((size_t)64 * 1024)
#define STRETCHES (PIECES / STRETCH_BYTES)
_Static_assert(TIDE_MAP_PART_BYTES % STRETCH_BYTES == 0, "a stretch lies in one part");

_Atomic uint8_t *tide_map_home;
uintptr_t tide_map_base, tide_map_pieces;

static _Atomic uint8_t *_Atomic tables[PARTS]; /* NULL: nothing was ever entered there */
static _Atomic uint64_t writable[(STRETCHES + 63) / 64];

static uintptr_t piece_of(const void *address)
{
    return (uintptr_t)address >> TIDE_ARENA_SHIFT;
}

/* ---- Tables ------------------------------------------------------------- */

/* The window's first part, so that what is mapped near a place lies within: the
 * place's own and the part that it is nearer to. */
static uintptr_t choose_home(const void *place)
{
    uintptr_t piece = piece_of(place), part = piece / TIDE_MAP_PART_BYTES;
    bool is_upper = piece % TIDE_MAP_PART_BYTES >= TIDE_MAP_PART_BYTES / 2;

    if (part > 0 && (!is_upper || part == PARTS - 1))
        part--;
    return part;
}

bool tide_address_map_start(void)
{
    _Atomic uint8_t *table = tide_os_map_readonly(HOME_PARTS * TIDE_MAP_PART_BYTES);
    uintptr_t first;

    if (!table)
        return false;
    first = choose_home((const void *)table); /* arenas will be near */
    for (unsigned n = 0; n < HOME_PARTS; n++)
        tide_set_release(&tables[first + n], table + n * TIDE_MAP_PART_BYTES);
    tide_map_home = table;
    tide_map_base = first * TIDE_MAP_PART_BYTES << TIDE_ARENA_SHIFT;
    tide_map_pieces = HOME_PARTS * TIDE_MAP_PART_BYTES;
    return true;
}

/* NULL where there is none yet. */
static _Atomic uint8_t *table_of(uintptr_t part)
{
    return tide_acquire(&tables[part]); /* pairs with what publishes it */
}

/* Of two threads that make one at the same time, the first one's stays. */
static _Atomic uint8_t *make_table(uintptr_t part)
{
    _Atomic uint8_t *table = table_of(part), *made;

    if (table)
        return table;
    made = tide_os_map_readonly(TIDE_MAP_PART_BYTES);
    if (!made)
        return NULL;
    if (atomic_compare_exchange_strong_explicit(&tables[part], &table, made, memory_order_release,
                                                memory_order_acquire)) /* with table_of */
        return made;
    tide_os_unmap_readonly((void *)made, TIDE_MAP_PART_BYTES);
    return table;
}

static bool make_writable(uintptr_t stretch)
{
    uintptr_t piece = stretch * STRETCH_BYTES;
    _Atomic uint64_t *word = &writable[stretch / 64];
    uint64_t bit = UINT64_C(1) << stretch % 64;
    _Atomic uint8_t *table;

    if (tide_acquire(word) & bit)
        return true;
    table = make_table(piece / TIDE_MAP_PART_BYTES);
    if (!table ||
        !tide_os_make_writable((void *)(table + piece % TIDE_MAP_PART_BYTES), STRETCH_BYTES))
        return false;
    atomic_fetch_or_explicit(word, bit, memory_order_release); /* pairs with the acquire above */
    return true;
}

/* ---- Entries ------------------------------------------------------------ */

static void set(const void *arena, bool is_there)
{
    uintptr_t piece = piece_of(arena);

    tide_set_relaxed(&table_of(piece / TIDE_MAP_PART_BYTES)[piece % TIDE_MAP_PART_BYTES],
                     is_there);
}

bool tide_address_map_enter(const void *arena)
{
    if (!make_writable(piece_of(arena) / STRETCH_BYTES))
        return false;
    set(arena, true);
    return true;
}

void tide_address_map_leave(const void *arena)
{
    set(arena, false);
}

void *tide_address_map_next(const void *arena)
{
    for (uintptr_t piece = piece_of(arena) + 1; piece < PIECES; piece++) {
        _Atomic uint8_t *table = table_of(piece / TIDE_MAP_PART_BYTES);

        if (!table)
            piece |= TIDE_MAP_PART_BYTES - 1; /* the part's last */
        else if (tide_relaxed(&table[piece % TIDE_MAP_PART_BYTES]))
            return (void *)(piece << TIDE_ARENA_SHIFT);
    }
    return NULL;
}

bool tide_is_in_far_arena(const void *address)
{
    uintptr_t piece = piece_of(address);
    _Atomic uint8_t *table = piece < PIECES ? table_of(piece / TIDE_MAP_PART_BYTES) : NULL;

    return table && tide_relaxed(&table[piece % TIDE_MAP_PART_BYTES]);
}
