/* os/process.c - see process.h */
#include "os/process.h"

#include <sys/mman.h>

#include "os/map.h"

static _Atomic uint32_t unwiped = 1;

_Atomic uint32_t *tide_os_process_word = &unwiped;

void tide_os_process_start(void)
{
    void *page = mmap(NULL, tide_os_page_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return;
    if (madvise(page, tide_os_page_bytes, MADV_WIPEONFORK) != 0) {
        munmap(page, tide_os_page_bytes);
        return;
    }
    tide_os_process_word = page;
    tide_os_process_settle();
}
