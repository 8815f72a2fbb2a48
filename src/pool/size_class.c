/* pool/size_class.c - the tables of size_class.h; constant data */
#include "pool/size_class.h"

/* Sizes 16c - 15 to 16c are of class c. */
#define SIZES(c) [TIDE_ALIGNMENT * (c) - 15 ... TIDE_ALIGNMENT * (c)] = 2 * (c)
#define EIGHT_CLASSES(c)                                                             \
    SIZES(c), SIZES((c) + 1), SIZES((c) + 2), SIZES((c) + 3), SIZES((c) + 4), SIZES((c) + 5), \
        SIZES((c) + 6), SIZES((c) + 7)

/* The nth eighth of the doubling from 512 on. */
#define EIGHTH(n) [512 + 64 * (n) + 1 ... 512 + 64 * (n) + 64] = 2 * (TIDE_SMALL_CLASSES + (n))

const uint8_t tide_class_twice[] = {
    [0 ... TIDE_WORD_BYTES] = 0, [TIDE_WORD_BYTES + 1 ... TIDE_ALIGNMENT] = 2 * 1,
    SIZES(2), SIZES(3), SIZES(4), SIZES(5), SIZES(6), SIZES(7), SIZES(8),
    EIGHT_CLASSES(9), EIGHT_CLASSES(17), EIGHT_CLASSES(25),
    EIGHTH(0), EIGHTH(1), EIGHTH(2), EIGHTH(3), EIGHTH(4), EIGHTH(5), EIGHTH(6), EIGHTH(7),
};

#define FOUR_SIZES(first, step) \
    (first), (first) + (step), (first) + 2 * (step), (first) + 3 * (step)
#define EIGHT_SIZES(first, step) FOUR_SIZES(first, step), FOUR_SIZES((first) + 4 * (step), step)
#define DOUBLING(from) EIGHT_SIZES((from) + (from) / 8, (from) / 8)

const uint32_t tide_class_bytes[] = {
    8,
    EIGHT_SIZES(16, 16), EIGHT_SIZES(144, 16), EIGHT_SIZES(272, 16), EIGHT_SIZES(400, 16),
    DOUBLING(512), DOUBLING(1024),
#if !TIDE_GEOMETRY_CLASSIC
    DOUBLING(2048), DOUBLING(4096), DOUBLING(8192), DOUBLING(16384),
#endif
};
_Static_assert(sizeof tide_class_bytes / sizeof *tide_class_bytes == TIDE_CLASSES,
               "the table has a size for each class");

unsigned tide_class_of_aligned_after(unsigned size_class, size_t alignment)
{
    while (++size_class < TIDE_CLASSES && (tide_class_bytes[size_class] & (alignment - 1)) != 0)
        ;
    return size_class;
}
