/* os/map.c - see map.h
 *
 * Aligned mappings are asked for below the last one, where top-down address
 * spaces have room: mostly one system call.  More than is needed is mapped only
 * when that failed twice, as it may be more than the process may lock.
 */
#include "os/map.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "os/limits.h"

size_t tide_os_page_bytes = 4096;
unsigned tide_os_page_shift = 12;

static _Atomic uintptr_t lowest; /* start of the last aligned mapping; a hint */

static _Atomic bool was_lock_limited; /* the last request that failed */

static _Atomic unsigned fail_every, requests; /* tests only */

void tide_os_start(void)
{
    tide_os_page_bytes = (size_t)getauxval(AT_PAGESZ);
    tide_os_page_shift = tide_log2(tide_os_page_bytes);
}

void tide_os_fail_map_every(unsigned n)
{
    atomic_store(&requests, 0);
    atomic_store(&fail_every, n);
}

static bool is_failing(void)
{
    unsigned every = tide_relaxed(&fail_every);

    if (TIDE_LIKELY(every == 0) || (atomic_fetch_add(&requests, 1) + 1) % every != 0)
        return false;
    errno = ENOMEM;
    return true;
}

/* For anonymous memory EAGAIN has but one meaning. */
static void note_failure(void)
{
    tide_set_relaxed(&was_lock_limited, errno == EAGAIN);
}

bool tide_os_map_was_lock_limited(void)
{
    return tide_relaxed(&was_lock_limited);
}

static void *map_with(int flags, uintptr_t hint, size_t bytes, int protection)
{
    void *start =
        mmap((void *)hint, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

    if (start != MAP_FAILED)
        return start;
    note_failure();
    return NULL;
}

static void *map_at(uintptr_t hint, size_t bytes, int protection)
{
    return map_with(0, hint, bytes, protection);
}

/* Gives back what was never used; where the kernel can't, no more than the range is lost. */
static void unmap(void *start, size_t bytes)
{
    tide_os_return(start, bytes);
}

/* The middle of a mapping larger by the alignment. */
static void *map_trimmed(size_t bytes, size_t alignment)
{
    size_t room = bytes + alignment - tide_os_page_bytes, before;
    char *start = room < bytes ? NULL : map_at(0, room, PROT_READ | PROT_WRITE);

    if (!start)
        return NULL;
    before = -(uintptr_t)start & (alignment - 1);
    if (before != 0)
        unmap(start, before);
    if (room - before != bytes)
        unmap(start + before + bytes, room - before - bytes);
    return start + before;
}

/* Just below where the kernel maps by itself, which it tells by doing so; else
 * anywhere. */
static void *map_aligned(uintptr_t hint, size_t bytes, size_t alignment)
{
    char *start = map_at(hint, bytes, PROT_READ | PROT_WRITE);

    for (int tries = 0; start && ((uintptr_t)start & (alignment - 1)) != 0; tries++) {
        unmap(start, bytes);
        hint = tide_round_down((uintptr_t)start, alignment);
        start = tries == 0 ? map_at(hint, bytes, PROT_READ | PROT_WRITE)
                           : map_trimmed(bytes, alignment);
    }
    return start;
}

/* As tide_os_map, but not counted. */
static void *map(size_t bytes, size_t alignment)
{
    uintptr_t hint = tide_relaxed(&lowest);
    char *start;

    if (is_failing())
        return NULL;
    hint = hint > bytes ? tide_round_down(hint - bytes, alignment) : 0;
    start = map_aligned(hint, bytes, alignment);
    if (start)
        tide_set_relaxed(&lowest, (uintptr_t)start);
    else
        errno = ENOMEM;
    return start;
}

void *tide_os_map(size_t bytes, size_t alignment)
{
    void *start;

    if (!tide_os_limits_take(bytes))
        return NULL;
    start = map(bytes, alignment);
    if (start)
        tide_os_limits_note_mapped();
    else
        tide_os_limits_put(bytes);
    return start;
}

/* Kernels before 4.17 take the place for no more than a hint. */
static bool map_fixed(void *start, size_t bytes)
{
    void *mapped;

    if (is_failing())
        return false;
    mapped = map_with(MAP_FIXED_NOREPLACE, (uintptr_t)start, bytes, PROT_READ | PROT_WRITE);
    if (mapped && mapped != start) {
        unmap(mapped, bytes);
        errno = EEXIST;
    }
    return mapped == start;
}

void *tide_os_map_readonly(size_t bytes)
{
    return is_failing() ? NULL : map_at(0, bytes, PROT_READ);
}

bool tide_os_make_writable(void *start, size_t bytes)
{
    return !is_failing() && mprotect(start, bytes, PROT_READ | PROT_WRITE) == 0;
}

/* Where it can't be, it costs nothing but the range. */
void tide_os_unmap_readonly(void *start, size_t bytes)
{
    int saved_errno = errno;

    munmap(start, bytes);
    errno = saved_errno;
}

void tide_os_unmap(void *start, size_t bytes)
{
    unmap(start, bytes);
    tide_os_limits_put(bytes);
}

void tide_os_purge(void *start, size_t bytes)
{
    int saved_errno = errno;

    /* Locked pages can't be given back; they must read as zero all the same. */
    if (madvise(start, bytes, MADV_DONTNEED) != 0)
        memset(start, 0, bytes);
    errno = saved_errno;
}

void tide_os_purge_units(void *start, size_t unit_bytes, uint64_t units)
{
    while (units != 0) {
        unsigned first = tide_lowest_bit(units);
        unsigned count = ~(units >> first) != 0 ? tide_lowest_bit(~(units >> first)) : 64;

        tide_os_purge((char *)start + first * unit_bytes, count * unit_bytes);
        units &= ~tide_bit_run(first, count);
    }
}

void *tide_os_obtain(size_t bytes, size_t alignment)
{
    return map(bytes, alignment);
}

bool tide_os_obtain_at(void *start, size_t bytes)
{
    return map_fixed(start, bytes);
}

bool tide_os_return(void *start, size_t bytes)
{
    uintptr_t address = (uintptr_t)start;
    int saved_errno = errno;
    bool is_unmapped = munmap(start, bytes) == 0;

    if (is_unmapped) /* the hint moves up again, or freed address space would never be used */
        atomic_compare_exchange_strong(&lowest, &address, (uintptr_t)start + bytes);
    errno = saved_errno;
    return is_unmapped;
}

bool tide_os_renew(void *start, size_t bytes)
{
    int saved_errno = errno;
    bool is_new = map_with(MAP_FIXED, (uintptr_t)start, bytes, PROT_READ | PROT_WRITE) == start;

    errno = saved_errno;
    return is_new;
}

/* Before Linux 5.7 the pages can't be moved without the range. */
bool tide_os_move_pages(void *start, size_t bytes, void *target)
{
    int saved_errno = errno;
    bool is_moved = mremap(start, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
                           target) == target;

    errno = saved_errno;
    return is_moved;
}
