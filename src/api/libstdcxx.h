/* api/libstdcxx.h - functions of the program's libstdc++, which tidepool does
 * not link with */
#ifndef TIDE_API_LIBSTDCXX_H
#define TIDE_API_LIBSTDCXX_H

/* The function of that mangled name, as code at the address caller sees it: in
 * the program's global scope, or in that of a plugin opened with RTLD_LOCAL.
 * NULL when there is none but one at the address self. */
void *tide_api_find_libstdcxx(const char *name, const void *self, const void *caller);

#endif
