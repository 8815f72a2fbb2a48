/* os/map.h - address space from the kernel and back to it
 *
 * Everything here may be called by any thread at any time and takes no lock
 * that is ever held while calling up.  Lengths are whole pages.  A failure is
 * NULL or false with errno from the kernel, and nothing is changed by it.  What
 * is mapped to be written counts for the limits: see limits.h.
 */
#ifndef TIDE_OS_MAP_H
#define TIDE_OS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Size of the kernel's pages; set by tide_os_start. */
extern size_t tide_os_page_bytes;
extern unsigned tide_os_page_shift; /* its logarithm */

void tide_os_start(void);

/* Zeroed, readable and writable memory aligned to alignment, a power of two
 * of at least a page. */
void *tide_os_map(size_t bytes, size_t alignment);

/* Zero pages that can only be read and cost no memory or commit charge, until
 * tide_os_make_writable. */
void *tide_os_map_readonly(size_t bytes);
bool tide_os_make_writable(void *start, size_t bytes);

/* Gives a read-only mapping back, if the kernel can. */
void tide_os_unmap_readonly(void *start, size_t bytes);

/* Gives back a mapping that was never used. */
void tide_os_unmap(void *start, size_t bytes);

/* Gives the pages back but keeps the range, which reads as zero. */
void tide_os_purge(void *start, size_t bytes);

/* The same for those of 64 units of so many bytes each whose bits are set. */
void tide_os_purge_units(void *start, size_t unit_bytes, uint64_t units);

/* For the store, which counts by itself: as tide_os_map; and at start, else false and
 * EEXIST when something is there. */
void *tide_os_obtain(size_t bytes, size_t alignment);
bool tide_os_obtain_at(void *start, size_t bytes);

/* Gives it back.  False when the kernel can't unmap (its limit on the number of
 * mappings). */
bool tide_os_return(void *start, size_t bytes);

/* Gives the pages back and makes one mapping of what may be several. */
bool tide_os_renew(void *start, size_t bytes);

/* Moves the pages to target, which is mapped; the range stays, without pages.  False when
 * that can't be done. */
bool tide_os_move_pages(void *start, size_t bytes, void *target);

/* Whether the kernel refused address space last because too much of it would be
 * locked (mlockall with MCL_FUTURE, RLIMIT_MEMLOCK). */
bool tide_os_map_was_lock_limited(void);

/* For tests: every nth request for address space fails as if there were none;
 * 0 ends it. */
void tide_os_fail_map_every(unsigned n);

#endif
