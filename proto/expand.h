/* proto/expand.h: one expansion of messages.def. Define the macros that say something, then include this: the
 * others are empty, and afterwards all are forgotten. No include guard, on purpose. */
#ifndef PS_PART
#define PS_PART(name, prose)
#endif
#ifndef PS_MESSAGE
#define PS_MESSAGE(name, id, flags, direction, prose)
#endif
#ifndef PS_END
#define PS_END(name)
#endif
#ifndef PS_U64
#define PS_U64(f, prose)
#endif
#ifndef PS_U32
#define PS_U32(f, prose)
#endif
#ifndef PS_BOOL
#define PS_BOOL(f, prose)
#endif
#ifndef PS_STR
#define PS_STR(f, max, prose)
#endif
#ifndef PS_BIN
#define PS_BIN(f, max, prose)
#endif
#ifndef PS_SHA
#define PS_SHA(f, prose)
#endif
#ifndef PS_LIST
#define PS_LIST(f, part, max, prose)
#endif

#include "proto/messages.def"

#undef PS_PART
#undef PS_MESSAGE
#undef PS_END
#undef PS_U64
#undef PS_U32
#undef PS_BOOL
#undef PS_STR
#undef PS_BIN
#undef PS_SHA
#undef PS_LIST
