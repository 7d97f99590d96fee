#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_us(clockid_t which)
{
    struct timespec t;

    /* Can't fail: both clocks are there on every Linux, and t is ours. */
    (void)clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

uint64_t ps_clock_mono_ms(void)
{
    return (uint64_t)read_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t ps_clock_mono_us(void)
{
    return (uint64_t)read_us(CLOCK_MONOTONIC);
}

int64_t ps_clock_real_us(void)
{
    return read_us(CLOCK_REALTIME);
}

char *ps_clock_rfc3339(char buf[PS_RFC3339_MAX], int64_t real_us)
{
    int64_t rest_us = real_us % 1000000;
    time_t seconds = real_us / 1000000;
    struct tm tm;

    if (rest_us < 0) { /* before 1970: round toward the past, not toward 1970 */
        rest_us += 1000000;
        seconds--;
    }
    /* Neither fails for any int64_t of microseconds: the longest year has six digits and a sign. */
    if (!gmtime_r(&seconds, &tm) ||
        snprintf(buf, PS_RFC3339_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(rest_us / 1000)) >= PS_RFC3339_MAX)
        buf[0] = '\0';
    return buf;
}
