/* os/process.c - see process.h */
#include "os/process.h"

#include <sys/mman.h>
#include <unistd.h>

#include "os/map.h"

static _Atomic uint32_t unwiped = 1;

_Atomic uint32_t *tide_os_process_number = &unwiped;

static void *map_page(void)
{
    void *page = mmap(NULL, tide_os_page_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return NULL;
    if (madvise(page, tide_os_page_bytes, MADV_WIPEONFORK) == 0)
        return page;
    munmap(page, tide_os_page_bytes);
    return NULL;
}

void tide_os_process_start(void)
{
    void *page = map_page();

    if (page)
        tide_os_process_number = page;
    tide_os_process_settle();
}

void tide_os_process_settle(void)
{
    tide_set_relaxed(tide_os_process_number, (uint32_t)getpid());
}

bool tide_os_process_is_owner(void)
{
    return tide_relaxed(tide_os_process_number) == (uint32_t)getpid();
}
