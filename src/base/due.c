/* base/due.c - see due.h */
#include "base/due.h"

_Atomic bool tide_something_is_due;
