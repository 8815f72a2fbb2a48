/* tidepool/malloc.h - the allocator's public interface
 *
 * Every function here is safe to call from any thread at any time, also
 * before main, in a fork or vfork child and after a thread's destructors have
 * run.  None is async-signal-safe.  Sizes and alignments are in bytes.  A
 * block may be freed by any thread.  Nothing that succeeds changes errno;
 * freeing never changes it.
 *
 * A library configured normally also defines each standard name (malloc,
 * free, operator new, ...) and glibc's further ones (__libc_malloc, ...) with
 * the behaviour of the tide_ name; one configured with --disable-override
 * defines only the tide_ names and can live beside another malloc.
 *
 * A pointer that is handed back must have come from tidepool and must be a
 * live block.  A foreign pointer, one into the middle of a block or a block
 * freed before is reported on stderr in one line naming the call, the pointer
 * and what it is, where it is seen, and the program is aborted.  Set
 * TIDEPOOL_CHECK=on to have every such mistake seen.
 *
 * TIDEPOOL_HELP=1 in the environment prints all settings.
 */
#ifndef TIDEPOOL_MALLOC_H
#define TIDEPOOL_MALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TIDE_API __attribute__((visibility("default"), nothrow))
#define TIDE_ALLOCATES(...) __attribute__((malloc, alloc_size(__VA_ARGS__)))
#define TIDE_ALIGNED_BY(n) __attribute__((alloc_align(n)))
#define TIDE_USE_RESULT __attribute__((warn_unused_result))
#else
#define TIDE_API
#define TIDE_ALLOCATES(...)
#define TIDE_ALIGNED_BY(n)
#define TIDE_USE_RESULT
#endif

/* ---- Allocating: ISO C ------------------------------------------------- */

/* A block of at least size bytes, not initialised.  Aligned to 16 for sizes
 * from 9 up and to 8 below.  A size of 0 gives a unique block that must be
 * freed.  NULL and ENOMEM if there is no memory or size > PTRDIFF_MAX.
 * C17 7.22.3.4, POSIX malloc(3p). */
TIDE_API void *tide_malloc(size_t size) TIDE_ALLOCATES(1) TIDE_USE_RESULT;

/* As tide_malloc for count * size bytes.  All that tide_usable_size tells is
 * zero, as with glibc.  NULL and ENOMEM also when the product overflows.
 * C17 7.22.3.2. */
TIDE_API void *tide_calloc(size_t count, size_t size) TIDE_ALLOCATES(1, 2) TIDE_USE_RESULT;

/* Resizes block to size bytes, in place or by moving; the first
 * min(old, new) bytes are kept.  NULL as block is tide_malloc(size).  Size 0
 * with a block frees it and returns NULL, as glibc does.  On failure NULL and
 * ENOMEM, and block is as it was.  C17 7.22.3.5. */
TIDE_API void *tide_realloc(void *block, size_t size)
    __attribute__((alloc_size(2))) TIDE_USE_RESULT;

/* As tide_realloc for count * size bytes; NULL and ENOMEM when the product
 * overflows.  POSIX 2024, glibc. */
TIDE_API void *tide_reallocarray(void *block, size_t count, size_t size)
    __attribute__((alloc_size(2, 3))) TIDE_USE_RESULT;

/* A block aligned to alignment, a power of two.  Size need not be a multiple
 * of alignment.  NULL and EINVAL when alignment is no power of two, NULL and
 * ENOMEM when there is no memory.  C17 7.22.3.1, C23, glibc from 2.38 on. */
TIDE_API void *tide_aligned_alloc(size_t alignment, size_t size)
    TIDE_ALLOCATES(2) TIDE_ALIGNED_BY(1) TIDE_USE_RESULT;

/* Frees block; NULL does nothing.  errno is kept.  C17 7.22.3.3. */
TIDE_API void tide_free(void *block);

/* tide_free for a block got with tide_malloc, tide_calloc or tide_realloc of
 * this size.  The size is a hint that debug builds and TIDEPOOL_CHECK=on
 * check.  C23 7.24.3.4. */
TIDE_API void tide_free_sized(void *block, size_t size);

/* tide_free for a block got with tide_aligned_alloc(alignment, size).  Checked
 * like tide_free_sized.  C23 7.24.3.5. */
TIDE_API void tide_free_aligned_sized(void *block, size_t alignment, size_t size);

/* ---- Allocating: POSIX and older --------------------------------------- */

/* Stores in *out a block of size bytes aligned to alignment.  Returns 0, or
 * EINVAL when alignment is no power of two or no multiple of sizeof(void *),
 * or ENOMEM; then *out is as it was.  As with glibc, errno becomes
 * ENOMEM with the latter and is kept otherwise.  POSIX posix_memalign(3p). */
TIDE_API int tide_posix_memalign(void **out, size_t alignment, size_t size) TIDE_USE_RESULT;

/* As tide_aligned_alloc, but an alignment that is no power of two is rounded
 * up to one, as glibc does; EINVAL when none is large enough. */
TIDE_API void *tide_memalign(size_t alignment, size_t size)
    TIDE_ALLOCATES(2) TIDE_USE_RESULT;

/* A block aligned to the page size. */
TIDE_API void *tide_valloc(size_t size) TIDE_ALLOCATES(1) TIDE_USE_RESULT;

/* As tide_valloc with size rounded up to whole pages. */
TIDE_API void *tide_pvalloc(size_t size) TIDE_USE_RESULT;

/* ---- Asking ------------------------------------------------------------ */

/* Bytes that may be used in block, at least what was asked for; 0 for NULL.
 * glibc's malloc_usable_size. */
TIDE_API size_t tide_usable_size(const void *block);

/* Bytes that tide_malloc(size) would really give: the size to ask for when
 * a buffer may as well be a little larger.  Size itself when it is more than can
 * be allocated. */
TIDE_API size_t tide_good_size(size_t size) __attribute__((pure));

/* Whether address lies in an arena or in other address space that tidepool has for
 * blocks: a block, what was one and is free, or an arena's records.  Takes time for
 * each large block when it is in none of the arenas.  Any address may be asked about. */
TIDE_API bool tide_owns(const void *address);

/* "major.minor.patch", a string that lives as long as the program. */
TIDE_API const char *tide_version(void);

/* ---- Giving memory back ------------------------------------------------ */

/* Returns to the OS at once everything that can go: what is free in the pools of
 * the calling thread, of threads that have ended, and of those that sleep in a
 * system call; what threads share or is on its way between them; free slots, and
 * what empty arenas and large blocks left.  What threads keep for themselves that
 * run at this moment stays; it goes later, if they become idle.  Takes some
 * 50 us for each thread, and some for each page.  Bytes that were returned, of
 * which some may not have been resident. */
TIDE_API size_t tide_purge(void);

/* Tells that the calling thread won't allocate for a while: gives back all that
 * it keeps, its free pages at once and the rest for others to use.  Bytes of the
 * pages.  Mostly not needed: in a program of 16 MiB or more a thread that sleeps
 * for TIDEPOOL_DECAY_MS is found, unless TIDEPOOL_MAINTENANCE is off. */
TIDE_API size_t tide_thread_idle(void);

/* ---- Limits ------------------------------------------------------------- */

/* What a program does when memory is short: gives up caches, say.  bytes_in_use
 * is what tidepool uses or keeps for later, limit is TIDEPOOL_LIMIT_SOFT in bytes. */
typedef void tide_pressure_handler(size_t bytes_in_use, size_t limit, void *argument);

/* Has handler called (NULL: nothing) with argument whenever what is in use
 * crosses TIDEPOOL_LIMIT_SOFT, once tidepool has returned to the OS what it kept
 * for later; and again only after it fell a sixteenth below that limit.  (What
 * the handler frees is returned after it, as far as arenas become empty.)  The call
 * comes from inside a malloc or realloc, by the thread that called this: the
 * handler may allocate and free, must return, and must not wait for a lock that
 * a thread may hold while it allocates.  It isn't called while it is running,
 * nor in the child of a vfork.  A call that has begun in another thread may go on
 * after the handler was replaced.  Returns the handler before, NULL at first. */
TIDE_API tide_pressure_handler *tide_on_pressure(tide_pressure_handler *handler, void *argument);

/* ---- glibc's control and statistics ------------------------------------ */

/* As tide_purge, but for about pad bytes of free slots and of what large blocks left.  1
 * if any memory was returned, else 0.  glibc's malloc_trim. */
TIDE_API int tide_malloc_trim(size_t pad);

/* What the program holds.  Fields that have no meaning here are 0:
 *   arena     bytes mapped in arenas        ordblks   free blocks in pools
 *   uordblks  of these: in allocated blocks fordblks  of these: the others
 *   hblks     large blocks                  hblkhd    bytes in large blocks
 *   keepcost  bytes that tide_malloc_trim could return
 * So, as with glibc, arena == uordblks + fordblks, and what is allocated is
 * uordblks + hblkhd.  What freed large blocks left counts in keepcost only.  Other
 * threads go on while it is read, so figures are near, not exact, when they are
 * busy.  glibc's mallinfo2. */
struct tide_mallinfo2 {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
TIDE_API struct tide_mallinfo2 tide_mallinfo2(void);

/* The same in ints, each held at INT_MAX when it does not fit.
 * glibc's mallinfo. */
struct tide_mallinfo {
    int arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
TIDE_API struct tide_mallinfo tide_mallinfo(void);

/* Accepts glibc's parameters: 1 where param is one of glibc's (its value is
 * not used: tidepool's settings are in the environment), 0 for others.
 * glibc's mallopt. */
TIDE_API int tide_mallopt(int param, int value);

/* Prints statistics to stderr: arenas, pools and blocks by size class, large
 * blocks, what is free, heaps, locks.  glibc's malloc_stats. */
TIDE_API void tide_malloc_stats(void);

/* Writes the statistics as XML to stream, which is flushed.  Returns 0; -1 and
 * EINVAL when options is not 0 or stream is NULL; -1 and errno when writing
 * failed.  glibc's malloc_info. */
TIDE_API int tide_malloc_info(int options, FILE *stream);

#ifdef __cplusplus
}
#endif

#endif
