/* engines/clamav/warm.c */
#include "engines/clamav/warm.h"

#include <string.h>
#include <time.h>

/* The code pages that libclamav converts from: names of macros and streams in documents, headers of mail, text. A
 * set that could not be loaded in the jail would hide a document's macros. */
static const char *const charsets[] = {
    "UTF-16",     "UTF-16LE",   "UTF-16BE",   "UTF-32",     "UTF-32LE",     "UTF-32BE",    "UCS-4",
    "UCS-2",      "UTF-7",      "UTF-8",      "ISO-8859-1", "ISO-8859-2",   "ISO-8859-3",  "ISO-8859-4",
    "ISO-8859-5", "ISO-8859-6", "ISO-8859-7", "ISO-8859-8", "ISO-8859-9",   "ISO-8859-13", "ISO-8859-15",
    "CP1250",     "CP1251",     "CP1252",     "CP1253",     "CP1254",       "CP1255",      "CP1256",
    "CP1257",     "CP1258",     "CP437",      "CP737",      "CP775",        "CP850",       "CP852",
    "CP855",      "CP857",      "CP858",      "CP860",      "CP861",        "CP862",       "CP863",
    "CP864",      "CP865",      "CP866",      "CP869",      "CP874",        "CP932",       "CP936",
    "CP949",      "CP950",      "SHIFT_JIS",  "EUC-JP",     "ISO-2022-JP",  "EUC-KR",      "ISO-2022-KR",
    "UHC",        "GBK",        "GB2312",     "GB18030",    "HZ",           "BIG5",        "BIG5-HKSCS",
    "EUC-TW",     "KOI8-R",     "KOI8-U",     "MACINTOSH",  "MAC-CYRILLIC", "TIS-620",     "JOHAB",
    "IBM037",     "IBM273",     "IBM277",     "IBM278",     "IBM280",       "IBM284",      "IBM285",
    "IBM297",     "IBM420",     "IBM424",     "IBM500",     "IBM870",       "IBM871",      "IBM1026",
    "IBM1047",
};

_Static_assert(sizeof(charsets) / sizeof(charsets[0]) <= PS_CLAMAV_CHARSETS_MAX,
               "no room for a character set");

void ps_clamav_charsets_open(struct ps_clamav_charsets *self)
{
    self->n = 0;
    for (size_t i = 0; i < sizeof(charsets) / sizeof(charsets[0]); i++) {
        iconv_t open = iconv_open("UTF-8", charsets[i]);

        if (open != (iconv_t)-1)
            self->open[self->n++] = open;
    }
}

void ps_clamav_charsets_close(struct ps_clamav_charsets *self)
{
    while (self->n)
        (void)iconv_close(self->open[--self->n]); /* fails only for a handle that isn't open */
}

static const uint8_t gz[] = {0x1f, 0x8b, 8, 0, 0,    0,    0,    0,    2, 3, 0x2b, 0x4f, 0x2c,
                             0xca, 0xe5, 2, 0, 0x6e, 0x1b, 0xb9, 0x69, 5, 0, 0,    0};
static const uint8_t bz2[] = {0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0x22,
                              0xf9, 0x20, 0x5c, 0x00, 0x00, 0x02, 0x41, 0x80, 0x00, 0x10, 0x20,
                              0x02, 0x10, 0x80, 0x20, 0x00, 0x30, 0xcd, 0x00, 0xc1, 0xa5, 0x00,
                              0xe2, 0xee, 0x48, 0xa7, 0x0a, 0x12, 0x04, 0x5f, 0x24, 0x0b, 0x80};
static const uint8_t xz[] = {0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36,
                             0x02, 0x00, 0x21, 0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3,
                             0x01, 0x00, 0x04, 0x77, 0x61, 0x72, 0x6d, 0x0a, 0x00, 0x00, 0x00, 0x00,
                             0x6e, 0x1b, 0xb9, 0x69, 0x00, 0x01, 0x19, 0x05, 0xbc, 0xe8, 0xec, 0xcb,
                             0x90, 0x42, 0x99, 0x0d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01, 0x59, 0x5a};

/* One stored member, "w", that holds "warm\n". */
static const uint8_t zip[] = {
    'P', 'K', 3, 4, 10, 0, 0, 0, 0,    0,   0,    0,    0x21, 0,    0x6e, 0x1b, 0xb9, 0x69, 5, 0,   0,
    0,   5,   0, 0, 0,  1, 0, 0, 0,    'w', 'w',  'a',  'r',  'm',  '\n', 'P',  'K',  1,    2, 10,  0,
    10,  0,   0, 0, 0,  0, 0, 0, 0x21, 0,   0x6e, 0x1b, 0xb9, 0x69, 5,    0,    0,    0,    5, 0,   0,
    0,   1,   0, 0, 0,  0, 0, 0, 0,    0,   0,    0,    0,    0,    0,    0,    0,    0,    0, 'w', 'P',
    'K', 5,   6, 0, 0,  0, 0, 1, 0,    1,   0,    0x2f, 0,    0,    0,    0x24, 0,    0,    0, 0,   0};

static const uint8_t rar[] = {'R', 'a', 'r', '!', 0x1a, 7, 0, 0xcf, 0x90, 0x73,
                              0,   0,   13,  0,   0,    0, 0, 0,    0,    0};
static const uint8_t elf[64] = {
    0x7f, 'E', 'L', 'F', 2, 1, 1, [16] = 2, [18] = 0x3e, [20] = 1, [52] = 64, [54] = 56, [58] = 64};
static const uint8_t pe[1024] = {'M',
                                 'Z',
                                 [0x3c] = 0x80,
                                 [0x80] = 'P',
                                 'E',
                                 0,
                                 0,
                                 0x4c,
                                 1,
                                 1,
                                 [0x94] = 0xe0,
                                 0,
                                 2,
                                 1,
                                 0x0b,
                                 1,
                                 [0xb4] = 0,
                                 0,
                                 0x40,
                                 0,
                                 0,
                                 0x10,
                                 0,
                                 0,
                                 0,
                                 2,
                                 0,
                                 0,
                                 [0xd0] = 0,
                                 0x20,
                                 0,
                                 0,
                                 0,
                                 2,
                                 0,
                                 0,
                                 [0xf4] = 16,
                                 [0x178] = '.',
                                 't',
                                 'e',
                                 'x',
                                 't',
                                 0,
                                 0,
                                 0,
                                 0,
                                 2,
                                 0,
                                 0,
                                 0,
                                 0x10,
                                 0,
                                 0,
                                 0,
                                 2,
                                 0,
                                 0,
                                 0,
                                 2};
static const uint8_t png[] = {
    0x89, 'P',  'N',  'G',  13,  10,  26,  10,   0,    0,    0,    13,  'I',  'H',  'D',  'R',  0,
    0,    0,    1,    0,    0,   0,   1,   8,    0,    0,    0,    0,   0x3a, 0x7e, 0x9b, 0x55, 0,
    0,    0,    10,   'I',  'D', 'A', 'T', 0x78, 0x9c, 0x63, 0x60, 0,   0,    0,    2,    0,    1,
    0x48, 0xaf, 0xa4, 0x71, 0,   0,   0,   0,    'I',  'E',  'N',  'D', 0xae, 0x42, 0x60, 0x82};
static const uint8_t utf16[] = "\xff\xfe<\0h\0t\0m\0l\0>\0w\0a\0r\0m\0<\0/\0h\0t\0m\0l\0>\0\r\0\n";
static const uint8_t html[] =
    "<html><head><meta http-equiv=\"Content-Type\" content=\"text/html; charset=windows-1251\"></head>"
    "<body><a href=\"http://localhost/\">warm</a><script>var a = unescape('%41');</script></body></html>\n";
static const uint8_t mail[] =
    "Received: from localhost\r\nFrom: a@localhost\r\nTo: b@localhost\r\nSubject: =?koi8-r?B?98HS?=\r\n"
    "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/html; "
    "charset=utf-8\r\n\r\n"
    "<a href=\"http://localhost/\">http://localhost/</a>\r\n--b\r\nContent-Type: application/octet-stream; "
    "name=w\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\nd2FybQo=\r\n--b--\r\n";
static const uint8_t rtf[] = "{\\rtf1\\ansi\\ansicpg1252 warm {\\object\\objemb{\\*\\objdata 0105}}}\n";
static const uint8_t xml[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<?mso-application progid=\"Word.Document\"?>\n"
    "<w:wordDocument "
    "xmlns:w=\"http://schemas.microsoft.com/office/word/2003/wordml\"><w:body/></w:wordDocument>\n";
static const uint8_t pdf[] =
    "%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 "
    "R/OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>\nendobj\n"
    "2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\n"
    "3 0 obj\n<</Length 13/Filter/ASCIIHexDecode>>\nstream\n7761726d0a>\nendstream\nendobj\n"
    "4 0 obj\n<</CreationDate(D:19700101000000Z)>>\nendobj\n"
    "xref\n0 1\n0000000000 65535 f \ntrailer\n<</Size 5/Root 1 0 R/Info 4 0 R>>\nstartxref\n0\n%%EOF\n";

/* An OLE file of three sectors: header, allocation table, a directory with a root and nothing in it. */
static const uint8_t ole[1536] = {0xd0,
                                  0xcf,
                                  0x11,
                                  0xe0,
                                  0xa1,
                                  0xb1,
                                  0x1a,
                                  0xe1,
                                  [24] = 0x3e,
                                  0,
                                  3,
                                  0,
                                  0xfe,
                                  0xff,
                                  9,
                                  0,
                                  6,
                                  [44] = 1,
                                  [48] = 1,
                                  [57] = 0x10,
                                  [60] = 0xfe,
                                  0xff,
                                  0xff,
                                  0xff,
                                  [68] = 0xfe,
                                  0xff,
                                  0xff,
                                  0xff,
                                  [76] = 0,
                                  0,
                                  0,
                                  0,
                                  [80 ... 511] = 0xff,
                                  [512] = 0xfd,
                                  0xff,
                                  0xff,
                                  0xff,
                                  0xfe,
                                  [517 ... 1023] = 0xff,
                                  [1024] = 'R',
                                  0,
                                  'o',
                                  0,
                                  'o',
                                  0,
                                  't',
                                  0,
                                  ' ',
                                  0,
                                  'E',
                                  0,
                                  'n',
                                  0,
                                  't',
                                  0,
                                  'r',
                                  0,
                                  'y',
                                  0,
                                  [1088] = 22,
                                  0,
                                  5,
                                  1,
                                  [1092 ... 1103] = 0xff,
                                  [1140] = 0xfe,
                                  0xff,
                                  0xff,
                                  0xff};

int ps_clamav_warm(int (*scan)(void *arg, const uint8_t *bytes, size_t len), void *arg)
{
    static const struct {
        const uint8_t *bytes;
        size_t len;
    } samples[] = {
        {gz, sizeof(gz)},       {bz2, sizeof(bz2)},       {xz, sizeof(xz)},         {zip, sizeof(zip)},
        {rar, sizeof(rar)},     {elf, sizeof(elf)},       {pe, sizeof(pe)},         {png, sizeof(png)},
        {utf16, sizeof(utf16)}, {html, sizeof(html) - 1}, {mail, sizeof(mail) - 1}, {rtf, sizeof(rtf) - 1},
        {xml, sizeof(xml) - 1}, {pdf, sizeof(pdf) - 1},   {ole, sizeof(ole)},
    };
    int r = 0;

    tzset(); /* dates in documents and mail */
    for (size_t i = 0; !r && i < sizeof(samples) / sizeof(samples[0]); i++)
        r = scan(arg, samples[i].bytes, samples[i].len);
    return r;
}
