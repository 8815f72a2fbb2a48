/* api/resize.c - realloc
 *
 * A block stays where it is while the new size fits and fills at least half of
 * it; large blocks change length in place or by moving pages.  Else it is a new block,
 * a copy and a free.
 */
#include <tidepool/malloc.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "api/fast.h"
#include "api/fork.h"
#include "api/override.h"
#include "api/slow.h"
#include "check/inspect.h"
#include "large/large.h"
#include "machine/shortage.h"
#include "upkeep/bound.h"
#include "upkeep/reclaim.h"
#include "upkeep/upkeep.h"

#define MOST_COPIED ((size_t)1 << 20)

/* Where there is no memory, what was kept for later goes before the block is
 * copied, which would take more. */
static void *resize_large(struct tide_range *block, size_t size)
{
    void *resized;

    errno = 0;
    resized = tide_large_resize(block, size);
    if (!resized && errno == ENOMEM && !tide_machine_shortage_is_certain(size)) {
        tide_reclaim();
        resized = tide_large_resize(block, size);
    }
    return resized;
}

/* A block that is to be much smaller is copied, so that all of its memory suits another
 * one of its size; unless it takes long. */
static bool is_to_stay(const struct found *found, size_t size)
{
    return size > TIDE_POOLED_MAX && (size >= found->bytes / 2 || size > MOST_COPIED);
}

/* The same kind of memory is right for the new size: what it was, or NULL. */
static void *resize_found(void *block, const struct found *found, size_t size)
{
    if (found->kind == FOUND_LARGE)
        return is_to_stay(found, size) ? resize_large(found->range, size) : NULL;
    return size <= found->bytes && size >= found->bytes / 2 ? block : NULL;
}

static void *resize_in_kind(void *block, const struct found *found, size_t size)
{
    bool is_passing;
    void *resized;

    is_passing = tide_fork_pass_in();
    resized = resize_found(block, found, size);
    if (resized && found->kind == FOUND_LARGE && size < found->bytes)
        tide_bound_check(found->bytes - size);
    if (is_passing)
        tide_fork_pass_out();
    tide_upkeep_do_due();
    return resized;
}

void *tide_realloc(void *block, size_t size)
{
    int saved_errno = errno;
    struct found found;
    void *resized;

    if (!block)
        return tide_api_malloc(size);
    found = tide_check_find(block, "realloc");
    if (size == 0) {
        tide_api_free(block, "realloc");
        return NULL;
    }
    resized = resize_in_kind(block, &found, size);
    if (!resized) {
        resized = tide_api_malloc(size);
        if (!resized && size <= found.bytes) { /* nothing smaller is to be had */
            errno = saved_errno;
            return block;
        }
        if (!resized)
            return NULL;
        memcpy(resized, block, size < found.bytes ? size : found.bytes);
        tide_api_free(block, "realloc");
    }
    errno = saved_errno;
    return resized;
}

void *tide_reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return tide_realloc(block, bytes);
}

TIDE_ALSO_NAMED(realloc, tide_realloc)
TIDE_ALSO_NAMED(__libc_realloc, tide_realloc)
TIDE_ALSO_NAMED(reallocarray, tide_reallocarray)
