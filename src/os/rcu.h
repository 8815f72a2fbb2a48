/* os/rcu.h - reading that holds up nobody, and waiting for those who read
 *
 * By liburcu's bp flavour, which a thread may use without registering.  It is
 * loaded by the first thread that wants to read, not linked: most programs never
 * read the lists it is for, and linked it would cost each of them 136 KiB and
 * some of its start.  As its thread-local storage is dynamic, whoever calls into
 * it may call malloc: no locks are held then, but for tide_rcu_leave.
 *
 * How many read is counted here, too: with no reader there is nothing to wait
 * for, and nothing of liburcu is called.
 *
 * Fork: liburcu's locks are held across it, unless that could take long or was
 * done already.  In a child that was made without them tide_rcu_enter is false
 * for good.
 */
#ifndef TIDE_OS_RCU_H
#define TIDE_OS_RCU_H

#include <stdbool.h>

/* Begins reading: what is taken out of a list from now on stays where it is
 * until tide_rcu_leave.  Nests.  False if liburcu isn't to be had, which one line
 * on stderr says once (not in a static program, which never has it).  No locks held; may
 * call malloc; keeps errno. */
bool tide_rcu_enter(void);
void tide_rcu_leave(void);

/* Whether anybody reads what was taken out of a list before the call. */
bool tide_rcu_has_readers(void);

/* Returns when nobody does any more.  By one thread at a time, which reads
 * nothing itself; no locks held.  False if that can't be told. */
bool tide_rcu_synchronize(void);

/* From now on liburcu isn't loaded any more: the program ends. */
void tide_rcu_end(void);

/* Whether it is loaded, or being so. */
bool tide_rcu_is_used(void);

/* Before all locks of the allocator, and after them; the latter also in a child that
 * the former wasn't called for. */
void tide_rcu_before_fork(void);
void tide_rcu_after_fork(bool in_child);

#endif
