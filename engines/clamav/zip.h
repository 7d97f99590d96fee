/* engines/clamav/zip.h: what libclamav passes over in a ZIP without a word. It opens parts that are stored, deflated (also
 * 64), bzip2 or imploded, of sizes in 32 bits, and cuts what it unpacks at its file size limit: anything else counts as
 * clean for it. An archive as archivers write it is told here; one that is broken is left to libclamav. */
#ifndef PS_ENGINES_CLAMAV_ZIP_H
#define PS_ENGINES_CLAMAV_ZIP_H

#include <stddef.h>
#include <stdint.h>

/* One sentence about the first part of the ZIP in bytes that is not looked at, or NULL: there is none, or this is no ZIP.
 * filesize_max: libclamav's limit for a part, in bytes. The bytes may be hostile. */
const char *ps_clamav_zip_unread(const uint8_t *bytes, size_t len, uint64_t filesize_max);

/* The same of a part that libclamav has unpacked into the file fd; also when the part itself was cut at the limit. is_zip:
 * libclamav takes it for a ZIP. The offset of fd stays. */
const char *ps_clamav_part_unread(int fd, int is_zip, uint64_t filesize_max);

#endif
