/* engines/kit/kit.h: what our own C engines share: settings, texts, traits, the sample in memory.
 *
 * A static library, hidden inside each plug-in that links it. It uses engine.h as any plug-in does; an engine
 * written elsewhere needs none of it. */
#ifndef PS_ENGINES_KIT_H
#define PS_ENGINES_KIT_H

#include "engines/engine.h"

#include <jansson.h>

/* Longest text that ps_kit_text makes, with its NUL. */
#define PS_KIT_TEXT_MAX 512

/* Writes one sentence into err, as engine.h wants it, and returns -1. */
int ps_kit_fail(char *err, size_t err_max, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The setting key as a number from min to max: digits and one of K, M, G (powers of 1024); fallback when it
 * isn't set. Returns 0, or -1 with a sentence in err that names the key. */
int ps_kit_number(const struct ps_engine_conf *conf, const char *key, uint64_t fallback, uint64_t min,
                  uint64_t max, uint64_t *ret_number, char *err, size_t err_max);

/* The setting key as yes or no; fallback when it isn't set. Returns 0, or -1 with a sentence in err. */
int ps_kit_switch(const struct ps_engine_conf *conf, const char *key, bool fallback, bool *ret_on, char *err,
                  size_t err_max);

/* Copies text to ret_text as UTF-8 without control characters: what is neither becomes '?', what is longer
 * than max - 1 bytes is cut between characters. Returns ret_text. */
const char *ps_kit_text(char *ret_text, size_t max, const char *text);

/* Makes jansson's hash seed, which it would else read from /dev/urandom at its first object: in the jail. */
void ps_kit_json_init(void);

/* Reports a trait. The string is cleaned as by ps_kit_text; ps_kit_trait takes value (NULL counts as no
 * memory). Return 0, or -1 when it was not accepted. */
int ps_kit_trait_string(const struct ps_engine_report *report, const char *key, const char *text);
int ps_kit_trait(const struct ps_engine_report *report, const char *key, json_t *value);

/* Maps the whole sample read-only; an empty one maps to a byte that isn't part of it. Returns 0 with
 * *ret_bytes to be given back to ps_kit_unmap, or -1 with a reason reported. */
int ps_kit_map(const struct ps_engine_sample *sample, const struct ps_engine_report *report,
               const uint8_t **ret_bytes);
void ps_kit_unmap(const struct ps_engine_sample *sample, const uint8_t *bytes);

/* Reads len bytes at offset, all of them. Returns 0 or -1 with errno set; the end of the file is EIO. */
int ps_kit_read(int fd, uint64_t offset, void *ret_buf, size_t len);

#endif
