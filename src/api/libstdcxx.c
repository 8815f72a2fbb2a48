/* api/libstdcxx.c - see libstdcxx.h; called only when memory has run out */
#include "api/libstdcxx.h"

#include <dlfcn.h>
#include <stddef.h>

static void *find_in(void *scope, const char *name, const void *self)
{
    void *found = scope ? dlsym(scope, name) : NULL;

    return found == self ? NULL : found;
}

void *tide_api_find_libstdcxx(const char *name, const void *self, const void *caller)
{
    void *found = find_in(RTLD_DEFAULT, name, self), *scope;
    Dl_info object;

    if (!found)
        found = find_in(RTLD_NEXT, name, self);
    if (found || !dladdr(caller, &object) || !object.dli_fname)
        return found;
    scope = dlopen(object.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    found = find_in(scope, name, self);
    if (scope)
        dlclose(scope); /* the caller holds on to it */
    return found;
}
