/* expect: tidepool: free(PTR): already free, or never allocated */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    char *lower = tide_malloc(131072), *upper = tide_malloc(131072);
    if (lower + 131072 != upper)
        return 1;
    tide_free(lower);
    tide_free(upper);
    tide_free(upper); /* whose memory is free together with the other's */
    return 0;
}
