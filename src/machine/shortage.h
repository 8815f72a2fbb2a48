/* machine/shortage.h - why there is no memory
 *
 * The kernel says ENOMEM for everything.  Which of its limits it was, or whether
 * it was tidepool's own, is found out when an allocation has failed for good, and
 * told in one line on stderr, once for each cause in the life of the process.
 */
#ifndef TIDE_MACHINE_SHORTAGE_H
#define TIDE_MACHINE_SHORTAGE_H

#include <stdbool.h>
#include <stddef.h>

/* So many bytes could not be had.  Says nothing about sizes that this machine
 * could never give: programs ask for such to find out what there is.  Any
 * thread. */
void tide_machine_shortage_tell(size_t bytes);

/* Whether it is more than the machine's memory and swap. */
bool tide_machine_shortage_is_certain(size_t bytes);

#endif
