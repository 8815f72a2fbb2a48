/* upkeep/reclaim.h - memory runs short: what was kept for later goes
 *
 * At the soft limit, at the hard one and where the kernel gives no more.  None
 * of this is on a fast path.
 */
#ifndef TIDE_UPKEEP_RECLAIM_H
#define TIDE_UPKEEP_RECLAIM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "os/limits.h"

/* By a thread without locks that found no memory, and will try once more: all goes
 * that nobody uses, and what others returned to this thread is collected. */
void tide_reclaim(void);

/* What a program does about its own memory; see tide_on_pressure. */
typedef void tide_reclaim_handler(size_t bytes_in_use, size_t limit, void *argument);

/* Returns the one before. */
tide_reclaim_handler *tide_reclaim_set_handler(tide_reclaim_handler *handler, void *argument);

/* By a thread that holds no lock and uses no heap: if the soft limit was crossed,
 * memory is reclaimed and the program told.  Keeps errno.  Whether that is left
 * to another malloc. */
bool tide_reclaim_check(void);

/* For fork. */
struct tide_lock *tide_reclaim_handler_lock(void);
void tide_reclaim_after_fork_in_child(void);

#endif
