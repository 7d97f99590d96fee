#include "engines/clamav/zip.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define END_BYTES     22 /* end of central directory, without its comment */
#define COMMENT_MAX   65535
#define ENTRY_BYTES   46 /* central header, without name, extra and comment */
#define LOCAL_BYTES   30
#define SIZE_IN_ZIP64 0xffffffffu
#define ENCRYPTED     1u /* flag: libclamav says that by itself */
#define SIZES_FOLLOW  8u /* flag: the local header has no sizes, those of the directory are taken */

/* A ZIP's bytes, and where its parts count from: something else may stand in front of it. */
struct zip {
    const uint8_t *bytes;
    size_t len;
    size_t entries; /* offset of the central directory */
    size_t end;     /* and of what follows it */
    size_t begin;   /* what offsets in it count from */
};

static unsigned u16(const uint8_t *at)
{
    return at[0] | (unsigned)at[1] << 8;
}

static uint32_t u32(const uint8_t *at)
{
    return u16(at) | (uint32_t)u16(at + 2) << 16;
}

static bool has_mark(const uint8_t *at, uint8_t third, uint8_t fourth)
{
    return at[0] == 'P' && at[1] == 'K' && at[2] == third && at[3] == fourth;
}

/* The last end record whose directory lies right in front of it. */
static bool find_directory(const uint8_t *bytes, size_t len, struct zip *ret_zip)
{
    size_t stop = len > END_BYTES + COMMENT_MAX ? len - END_BYTES - COMMENT_MAX : 0;

    if (len < END_BYTES)
        return false;
    for (size_t at = len - END_BYTES + 1; at-- > stop;) {
        uint32_t size, offset;

        if (!has_mark(bytes + at, 5, 6))
            continue;
        size = u32(bytes + at + 12);
        offset = u32(bytes + at + 16);
        if (size < ENTRY_BYTES || size > at || offset > at - size || !has_mark(bytes + at - size, 1, 2))
            continue;
        *ret_zip = (struct zip){bytes, len, at - size, at, at - size - offset};
        return true;
    }
    return false;
}

static bool opens(unsigned method)
{
    return method == 0 || method == 6 || method == 8 || method == 9 || method == 12;
}

/* In its local header, where libclamav takes the sizes from unless they follow the data. */
static bool is_local_zip64(const struct zip *zip, uint32_t offset)
{
    size_t left = zip->entries - zip->begin;
    const uint8_t *at = zip->bytes + zip->begin + offset;

    return left >= LOCAL_BYTES && offset <= left - LOCAL_BYTES && has_mark(at, 3, 4) &&
           !(u16(at + 6) & SIZES_FOLLOW) && (u32(at + 18) == SIZE_IN_ZIP64 || u32(at + 22) == SIZE_IN_ZIP64);
}

static const char *entry_unread(const struct zip *zip, const uint8_t *at, uint64_t filesize_max)
{
    uint32_t packed = u32(at + 20), size = u32(at + 24), offset = u32(at + 42);

    if ((u16(at + 8) & ENCRYPTED) || (packed == 0 && size == 0))
        return NULL;
    if (packed == SIZE_IN_ZIP64 || size == SIZE_IN_ZIP64 || offset == SIZE_IN_ZIP64 ||
        is_local_zip64(zip, offset))
        return "a part of the ZIP is in ZIP64, which libclamav does not open";
    if (!opens(u16(at + 10)))
        return "a part of the ZIP is packed by a method that libclamav does not open";
    if (size > filesize_max)
        return "a part of the ZIP is larger than max_filesize, and was cut";
    return NULL;
}

const char *ps_clamav_zip_unread(const uint8_t *bytes, size_t len, uint64_t filesize_max)
{
    const char *unread = NULL;
    struct zip zip;

    if (!find_directory(bytes, len, &zip))
        return NULL;
    /* Each entry is as long as its fixed part at least, so this ends. */
    for (size_t at = zip.entries; !unread && zip.end - at >= ENTRY_BYTES && has_mark(bytes + at, 1, 2);) {
        size_t entry =
            (size_t)ENTRY_BYTES + u16(bytes + at + 28) + u16(bytes + at + 30) + u16(bytes + at + 32);

        unread = entry_unread(&zip, bytes + at, filesize_max);
        if (entry > zip.end - at)
            break;
        at += entry;
    }
    return unread;
}

const char *ps_clamav_part_unread(int fd, int is_zip, uint64_t filesize_max)
{
    const char *unread = NULL;
    struct stat st;
    void *bytes;

    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size <= 0)
        return NULL;
    /* It cuts before the buffer that would go over the limit. */
    if ((uint64_t)st.st_size + BUFSIZ > filesize_max)
        return "a part reaches max_filesize, and may have been cut there";
    if (!is_zip)
        return NULL;
    bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return "a ZIP inside could not be checked for parts that libclamav does not open";
    unread = ps_clamav_zip_unread(bytes, (size_t)st.st_size, filesize_max);
    (void)munmap(bytes, (size_t)st.st_size); /* it is a mapping of ours */
    return unread;
}
