/* engines/clamav/names.c */
#include "engines/clamav/names.h"

#include <string.h>

/* libclamav answers "infected" for anything it wants to tell. First match wins; the last row takes the rest,
 * the algorithmic detections of known families among them (Heuristics.W32.Parite.B, Heuristics.Exploit...).
 */
static const struct ps_clamav_meaning meanings[] = {
    {"Heuristics.Limits.Exceeded.MaxFileSize", PS_FOUND_INCOMPLETE,
     "a part larger than max_filesize was left out"},
    {"Heuristics.Limits.Exceeded.MaxScanSize", PS_FOUND_INCOMPLETE, "more than max_scansize to look at"},
    {"Heuristics.Limits.Exceeded.MaxFiles", PS_FOUND_INCOMPLETE, "more than max_files parts"},
    {"Heuristics.Limits.Exceeded.MaxRecursion", PS_FOUND_INCOMPLETE, "nested deeper than max_recursion"},
    {"Heuristics.Limits.Exceeded.MaxScanTime", PS_FOUND_INCOMPLETE, "took longer than max_scantime"},
    {"Heuristics.Limits.Exceeded.Email", PS_FOUND_INCOMPLETE, "a mail beyond libclamav's limits"},
    {"Heuristics.Limits.Exceeded", PS_FOUND_INCOMPLETE, "a limit of libclamav was reached"},
    {"Heuristics.XZ.DicSizeLimit", PS_FOUND_INCOMPLETE, "an xz dictionary over libclamav's limit"},
    {"Heuristics.Encrypted", PS_FOUND_INCOMPLETE, "encrypted, its content could not be read"},
    {"Heuristics.Phishing", PS_FOUND_SUSPICIOUS, NULL},
    {"Heuristics.Safebrowsing", PS_FOUND_SUSPICIOUS, NULL},
    {"Heuristics.Broken", PS_FOUND_SUSPICIOUS, NULL},
    {"Heuristics.BoundsCheck", PS_FOUND_SUSPICIOUS, NULL},
    {"Heuristics.OLE2.ContainsMacros", PS_FOUND_SUSPICIOUS, NULL},
    {"Heuristics.PDF.ObfuscatedNameObject", PS_FOUND_SUSPICIOUS, NULL},
    {"Heuristics.Structured", PS_FOUND_SUSPICIOUS, NULL},
    {"Heuristics.APMPartition", PS_FOUND_SUSPICIOUS, NULL},
    {"Heuristics.GPTPartition", PS_FOUND_SUSPICIOUS, NULL},
    {"Heuristics.MBRPartition", PS_FOUND_SUSPICIOUS, NULL},
    {"Heuristics.Zip.OverlappingFiles", PS_FOUND_SUSPICIOUS, NULL},
    {"PUA.", PS_FOUND_SUSPICIOUS, NULL},
    {"", PS_FOUND_MALICIOUS, NULL},
};

const struct ps_clamav_meaning *ps_clamav_meaning(const char *name)
{
    const struct ps_clamav_meaning *row = meanings;

    while (strncmp(name, row->prefix, strlen(row->prefix)) != 0)
        row++;
    return row;
}
