/* test_mallopt.c - mallopt accepts glibc's parameters and nothing else */
#include <malloc.h>
#include <tidepool/malloc.h>

#include <errno.h>

#include "../unit.h"

Test(mallopt, glibcs_parameters_are_accepted)
{
    static const int known[] = { M_MXFAST,   M_TRIM_THRESHOLD, M_TOP_PAD,    M_MMAP_THRESHOLD,
                                 M_MMAP_MAX, M_CHECK_ACTION,   M_PERTURB,    M_ARENA_TEST,
                                 M_ARENA_MAX };

    for (size_t n = 0; n < sizeof known / sizeof *known; n++) {
        cr_assert_eq(tide_mallopt(known[n], 0), 1, "%d", known[n]);
        cr_assert_eq(tide_mallopt(known[n], -1), 1, "%d", known[n]);
    }
}

Test(mallopt, others_are_not)
{
    cr_assert_eq(tide_mallopt(0, 1), 0);
    cr_assert_eq(tide_mallopt(12345, 1), 0);
    cr_assert_eq(tide_mallopt(-12345, 1), 0);
}

Test(mallopt, it_changes_nothing)
{
    struct tide_mallinfo2 before = tide_mallinfo2(), after;

    errno = ERANGE;
    tide_mallopt(M_PERTURB, 0xa5);
    tide_mallopt(M_MMAP_THRESHOLD, 1);
    after = tide_mallinfo2();
    cr_assert(memcmp(&before, &after, sizeof before) == 0);
    cr_assert_eq(errno, ERANGE);
}
