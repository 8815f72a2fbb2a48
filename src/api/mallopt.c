/* api/mallopt.c - glibc's mallopt; apart, because glibc's header that names the
 * parameters declares mallinfo with types of its own */
#include <malloc.h>
#include <tidepool/malloc.h>

#include "api/override.h"

int tide_mallopt(int param, int value)
{
    static const int known[] = { M_MXFAST,         M_TRIM_THRESHOLD, M_TOP_PAD,   M_MMAP_THRESHOLD,
                                 M_MMAP_MAX,       M_CHECK_ACTION,   M_PERTURB,   M_ARENA_TEST,
                                 M_ARENA_MAX };

    (void)value;
    for (size_t n = 0; n < sizeof known / sizeof *known; n++)
        if (param == known[n])
            return 1;
    return 0;
}

TIDE_ALSO_NAMED(mallopt, tide_mallopt)
