/* api/override.h - the standard names, where this build defines them */
#ifndef TIDE_API_OVERRIDE_H
#define TIDE_API_OVERRIDE_H

#include "config.h"

/* gcc asks for the attributes of both names to agree; clang has no way to say so. */
#if defined(__clang__)
#define TIDE_LIKE(function)
#else
#define TIDE_LIKE(function) , copy(function)
#endif

/* At the end of a file: name is another name of function, defined in it.  glibc
 * exports its malloc by names with __libc_ too, whose blocks programs mix. */
#if TIDE_OVERRIDE
#define TIDE_ALSO_NAMED(name, function)                                                     \
    extern __typeof__(function) name                                                        \
        __attribute__((alias(#function), visibility("default") TIDE_LIKE(function)));
#else
#define TIDE_ALSO_NAMED(name, function)
#endif

#endif
