/* store/purge.h - the pages of free ranges go back to the OS
 *
 * Any thread, without locks.  Who purges has taken the range out meanwhile.
 */
#ifndef TIDE_STORE_PURGE_H
#define TIDE_STORE_PURGE_H

#include <stddef.h>

/* Purges what has been dirty for TIDEPOOL_DECAY_MS, and unmaps long stretches that have
 * been purged for ten times as long.  Bytes that a later call
 * may see to. */
size_t tide_store_decay(void);

/* Purges what has been dirty for longest until so many bytes are left, but no more than
 * most, a whole number of pages.  Bytes. */
size_t tide_store_purge(size_t keep, size_t most);

/* Unmaps all that is purged, for want of address space.  Under a lock that forks hold, as
 * is tide_store_decay: what is on its way is no more in a child. */
void tide_store_unmap(void);

/* So many bytes were taken that have no pages, as no dirty ones suited: as many dirty
 * bytes go, unless they are few beside what is used. */
void tide_store_make_up(size_t bytes);

/* In a fork child, under the store's lock: who purged isn't there. */
void tide_store_after_fork_in_child(void);

/* In a fork child that the store's lock was not taken for.  Free ranges are lost if
 * another thread was at them, but blocks stay. */
void tide_store_mend_in_child(void);

#endif
