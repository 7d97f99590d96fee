/* worker/host/pages.h: the loaded engine's memory in huge pages. Engine host only.
 *
 * A child's fork copies its zygote's page tables, and its end takes them down: with a gigabyte of signatures that is what
 * starting and ending a child costs, tens of milliseconds each. A huge page is one entry in place of 512. Children write to
 * little of it, and a write still copies 4 KiB, not 2 MiB. Scans walk through it with fewer misses, too. */
#ifndef PS_HOST_PAGES_H
#define PS_HOST_PAGES_H

/* Gathers this process's private anonymous memory into huge pages, where there is much of it and the kernel can (Linux 6.1
 * and later); else all stays as it is. For the zygote, with the engine loaded and before its first child: it takes about a
 * second a gigabyte. */
void ps_pages_gather(void);

#endif
