/* expect: tidepool: free(PTR): already free, or never allocated */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    char *whole = tide_malloc(524288), *lower, *upper;
    tide_free(whole);
    lower = tide_malloc(262144);
    upper = tide_malloc(262144);
    if (lower != whole || upper != lower + 262144)
        return 1;
    tide_free(lower);
    tide_free(upper);
    tide_free(upper); /* whose memory is free together with the other's */
    return 0;
}
