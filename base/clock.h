/* base/clock.h: the only file that asks the system for the time. Deadlines are monotonic. Any thread. */
#ifndef PS_BASE_CLOCK_H
#define PS_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t ps_clock_mono_ms(void); /* CLOCK_MONOTONIC, milliseconds */
uint64_t ps_clock_mono_us(void); /* CLOCK_MONOTONIC, microseconds */
int64_t ps_clock_real_us(void);  /* CLOCK_REALTIME, microseconds since 1970; for people and rows only */

#define PS_RFC3339_MAX 32
/* Writes an RFC 3339 UTC time with milliseconds ("2026-11-24T03:36:20.123Z") into buf; returns buf. */
char *ps_clock_rfc3339(char buf[PS_RFC3339_MAX], int64_t real_us);

#endif
