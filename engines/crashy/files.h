/* engines/crashy/files.h: crashy's commands that derive files. */
#ifndef PS_CRASHY_FILES_H
#define PS_CRASHY_FILES_H

#include "engines/engine.h"

/* "N BYTES [SEED]": N files of so many bytes each, all different; the same for the same seed. */
enum ps_found ps_crashy_files(const struct ps_engine_report *report, const char *argument);
/* A picture of one pixel, and a page that must never be shown. */
enum ps_found ps_crashy_picture(const struct ps_engine_report *report);

#endif
