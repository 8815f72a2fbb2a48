/* expect: tidepool: free(PTR): already free, or never allocated */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    char *block = tide_malloc((size_t)12 << 20);
    block = tide_realloc(block, (size_t)9 << 20);
    tide_free(block + ((size_t)9 << 20) + 32768); /* where it was longer */
    return 0;
}
