/* check/invariants.h - whether everything is as it must be */
#ifndef TIDE_CHECK_INVARIANTS_H
#define TIDE_CHECK_INVARIANTS_H

/* Walks every structure and aborts with a message on a broken invariant.  No
 * other thread may be allocating or freeing meanwhile. */
void tide_check_all(void);

#endif
