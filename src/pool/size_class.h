/* pool/size_class.h - size to class and class to size
 *
 * Class 0 has blocks of 8 bytes; then every 16 bytes to 256; then 8 classes
 * per doubling to POOLED_MAX.  All but class 0 are multiples of 16, which the
 * ABI's alignment of malloc asks for.
 */
#ifndef TIDE_POOL_SIZE_CLASS_H
#define TIDE_POOL_SIZE_CLASS_H

#include <stdbool.h>

#include "base/bits.h"
#include "base/geometry.h"

enum {
    TIDE_SMALL_CLASSES = 1 + TIDE_SMALL_MAX / TIDE_ALIGNMENT,
    TIDE_CLASSES_PER_DOUBLING = 8,
    TIDE_POOLED_MAX_LOG2 = TIDE_SLOT_SHIFT - 1,
    TIDE_SMALL_MAX_LOG2 = 8,
    TIDE_CLASSES = TIDE_SMALL_CLASSES +
                   TIDE_CLASSES_PER_DOUBLING * (TIDE_POOLED_MAX_LOG2 - TIDE_SMALL_MAX_LOG2),
};
_Static_assert(TIDE_POOLED_MAX == (size_t)1 << TIDE_POOLED_MAX_LOG2, "");
_Static_assert(TIDE_SMALL_MAX == (size_t)1 << TIDE_SMALL_MAX_LOG2, "");

/* The first class whose blocks are cache lines, or larger. */
enum { TIDE_LINE_CLASS = TIDE_CACHE_LINE / TIDE_ALIGNMENT };

/* The first class whose blocks are cached: of more than SMALL_MAX. */
enum { TIDE_CACHED_CLASS = TIDE_SMALL_CLASSES };

/* Sizes up to here are looked up: twice their class, which is where, in words,
 * a heap's list for the class is. */
#define TIDE_LOOKUP_MAX ((size_t)1024)

extern TIDE_HIDDEN const uint8_t tide_class_twice[TIDE_LOOKUP_MAX + 1];
extern TIDE_HIDDEN const uint32_t tide_class_bytes[TIDE_CLASSES];

/* The class of a size up to LOOKUP_MAX. */
static inline unsigned tide_class_of_small(size_t size)
{
    return tide_class_twice[size] / 2;
}

/* The class of a size from SMALL_MAX + 1 to POOLED_MAX: the power of two below
 * it, and which eighth above that it needs. */
static inline unsigned tide_class_of_medium(size_t size)
{
    unsigned log2 = tide_log2(size - 1);
    unsigned eighths = (unsigned)((size - 1) >> (log2 - 3)); /* 8 to 15 */

    return TIDE_SMALL_CLASSES + (log2 - TIDE_SMALL_MAX_LOG2) * TIDE_CLASSES_PER_DOUBLING + eighths -
           TIDE_CLASSES_PER_DOUBLING;
}

/* The class of a size up to POOLED_MAX. */
static inline unsigned tide_class_of(size_t size)
{
    return size <= TIDE_LOOKUP_MAX ? tide_class_of_small(size) : tide_class_of_medium(size);
}

/* Slots of a pool of the class. */
static inline unsigned tide_class_slots(unsigned size_class)
{
    return tide_class_bytes[size_class] <= TIDE_NARROW_MAX ? 1 : TIDE_WIDE_SLOTS;
}

/* Whether blocks that their owner frees are cached in its list, whatever pool they are
 * of, as pools have few: see heap/lists.h. */
static inline bool tide_class_is_cached(unsigned size_class)
{
    return size_class >= TIDE_CACHED_CLASS;
}

/* The smallest class whose blocks hold size bytes and, as pools are aligned to
 * a slot, are all aligned to alignment, a power of two; TIDE_CLASSES when there
 * is none.  It is the class of the next multiple of the alignment: where classes
 * are further apart than that, all of them are multiples of it, and where they
 * aren't, they are at every multiple. */
static inline unsigned tide_class_of_aligned(size_t size, size_t alignment)
{
    size_t multiple = tide_round_up(size + (size == 0), alignment);

    return multiple > TIDE_POOLED_MAX || multiple < size ? TIDE_CLASSES : tide_class_of(multiple);
}

#endif
