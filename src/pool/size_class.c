/* pool/size_class.c - the tables of size_class.h; constant data */
#include "pool/size_class.h"

/* Sizes 16c - 15 to 16c are of class c. */
#define SIZES(c) [TIDE_ALIGNMENT * (c) - 15 ... TIDE_ALIGNMENT * (c)] = 2 * (c)
#define FOUR_CLASSES(c) SIZES(c), SIZES((c) + 1), SIZES((c) + 2), SIZES((c) + 3)

/* The nth eighth, counted through, of the doublings from 256 and 512 on. */
#define STEP(from) ((from) / TIDE_CLASSES_PER_DOUBLING)
#define EIGHTH(from, n, c)                                                                    \
    [(from) + STEP(from) * (n) + 1 ... (from) + STEP(from) * ((n) + 1)] = 2 * ((c) + (n))
#define DOUBLED(from, c)                                                                      \
    EIGHTH(from, 0, c), EIGHTH(from, 1, c), EIGHTH(from, 2, c), EIGHTH(from, 3, c),           \
        EIGHTH(from, 4, c), EIGHTH(from, 5, c), EIGHTH(from, 6, c), EIGHTH(from, 7, c)

const uint8_t tide_class_twice[] = {
    [0 ... TIDE_WORD_BYTES] = 0, [TIDE_WORD_BYTES + 1 ... TIDE_ALIGNMENT] = 2 * 1,
    SIZES(2), SIZES(3), SIZES(4), FOUR_CLASSES(5), FOUR_CLASSES(9), FOUR_CLASSES(13),
    DOUBLED(256, TIDE_SMALL_CLASSES),
    DOUBLED(512, TIDE_SMALL_CLASSES + TIDE_CLASSES_PER_DOUBLING),
};

#define FOUR_SIZES(first, step) \
    (first), (first) + (step), (first) + 2 * (step), (first) + 3 * (step)
#define EIGHT_SIZES(first, step) FOUR_SIZES(first, step), FOUR_SIZES((first) + 4 * (step), step)
#define DOUBLING(from) EIGHT_SIZES((from) + (from) / 8, (from) / 8)

const uint32_t tide_class_bytes[] = {
    8,
    EIGHT_SIZES(16, 16), EIGHT_SIZES(144, 16),
    DOUBLING(256), DOUBLING(512), DOUBLING(1024),
#if !TIDE_GEOMETRY_CLASSIC
    DOUBLING(2048), DOUBLING(4096), DOUBLING(8192), DOUBLING(16384),
#endif
};
_Static_assert(sizeof tide_class_bytes / sizeof *tide_class_bytes == TIDE_CLASSES,
               "the table has a size for each class");
