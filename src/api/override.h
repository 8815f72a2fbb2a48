/* api/override.h - the standard names, where this build defines them */
#ifndef TIDE_API_OVERRIDE_H
#define TIDE_API_OVERRIDE_H

#include "config.h"

/* At the end of a file: name is another name of function, defined in it. */
#if TIDE_OVERRIDE
#define TIDE_ALSO_NAMED(name, function)                                                     \
    extern __typeof__(function) name                                                        \
        __attribute__((alias(#function), visibility("default"), copy(function)));
#else
#define TIDE_ALSO_NAMED(name, function)
#endif

#endif
