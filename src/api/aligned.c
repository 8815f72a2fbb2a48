/* api/aligned.c - blocks with an alignment of the caller's */
#include <tidepool/malloc.h>

#include <errno.h>
#include <stdint.h>

#include "api/enter.h"
#include "api/fork.h"
#include "api/override.h"
#include "api/slow.h"
#include "base/bits.h"
#include "os/map.h"

static void *fail(int error)
{
    errno = error;
    return NULL;
}

void *tide_aligned_alloc(size_t alignment, size_t size)
{
    if (!tide_is_power_of_two(alignment))
        return fail(EINVAL);
    return tide_api_malloc_aligned(size, alignment);
}

/* As glibc's, it leaves errno alone for EINVAL, and sets it for ENOMEM. */
int tide_posix_memalign(void **out, size_t alignment, size_t size)
{
    void *block;

    if (!tide_is_power_of_two(alignment) || alignment % sizeof(void *) != 0)
        return EINVAL;
    block = tide_api_malloc_aligned(size, alignment);
    if (!block)
        return ENOMEM;
    *out = block;
    return 0;
}

void *tide_memalign(size_t alignment, size_t size)
{
    if (alignment > (size_t)PTRDIFF_MAX + 1)
        return fail(EINVAL);
    if (!tide_is_power_of_two(alignment))
        alignment = alignment ? (size_t)2 << tide_log2(alignment) : 1;
    return tide_api_malloc_aligned(size, alignment);
}

/* Known once the allocator has started. */
static size_t page_bytes(void)
{
    bool is_passing = tide_fork_pass_in();
    struct heap *heap = tide_api_enter();

    if (heap)
        tide_heap_leave(heap);
    if (is_passing)
        tide_fork_pass_out();
    return tide_os_page_bytes;
}

void *tide_valloc(size_t size)
{
    return tide_api_malloc_aligned(size, page_bytes());
}

void *tide_pvalloc(size_t size)
{
    if (size > PTRDIFF_MAX)
        return fail(ENOMEM);
    return tide_valloc(tide_round_up(size, page_bytes()));
}

TIDE_ALSO_NAMED(aligned_alloc, tide_aligned_alloc)
TIDE_ALSO_NAMED(posix_memalign, tide_posix_memalign)
TIDE_ALSO_NAMED(memalign, tide_memalign)
TIDE_ALSO_NAMED(valloc, tide_valloc)
TIDE_ALSO_NAMED(pvalloc, tide_pvalloc)
TIDE_ALSO_NAMED(__libc_memalign, tide_memalign)
TIDE_ALSO_NAMED(__libc_valloc, tide_valloc)
TIDE_ALSO_NAMED(__libc_pvalloc, tide_pvalloc)
