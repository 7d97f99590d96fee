/* phagescan artifact SHA256: saves a file that an engine derived. It is as dangerous as the sample: mode 0600, never over
 * a file that is there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/text.h"

struct settings {
    char *output; /* owned */
};

static const struct ps_opt options[] = {
    {"output", 'o', PS_OPT_TEXT, offsetof(struct settings, output), 0, 0, NULL, "file",
     "where it goes; - is standard output. Default: its SHA-256 as the name, in this directory"},
    {NULL, 0, 0, 0, 0, 0, NULL, NULL, NULL},
};

static int write_to(const char *path, struct ps_bytes bytes, struct ps_error *reterr)
{
    bool out = strcmp(path, "-") == 0;
    PS_CLOSE int fd = out ? dup(STDOUT_FILENO) : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int r = fd < 0 ? ps_err_from_errno(errno) : ps_file_write_all(fd, bytes.at, bytes.len);

    return r ? ps_error_set(reterr, r, "%s: %s", path, fd < 0 ? strerror(errno) : ps_err_text(r)) : 0;
}

static int fetch(const char *hex, struct ps_api_reply *reply, struct ps_error *reterr)
{
    struct ps_api *api = NULL;
    PS_FREE char *path = ps_strf("/api/v1/artifacts/%s", hex);
    int r = path ? ps_api_new(&api, reterr) : ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");

    if (!r)
        r = ps_api_call(api, "GET", path, NULL, (struct ps_bytes){NULL, 0}, reply, reterr);
    ps_api_free(&api);
    if (!r && reply->status != 200)
        r = ps_api_problem(reply, reterr);
    return r;
}

/* What came is what was asked for. */
static int check(const struct ps_api_reply *reply, const uint8_t sha256[PS_SHA256_BYTES],
                 struct ps_error *reterr)
{
    uint8_t digest[PS_SHA256_BYTES];
    int r = ps_sha256(digest, reply->body.data, reply->body.len);

    if (!r && memcmp(digest, sha256, sizeof(digest)) != 0)
        r = PS_ERR_CORRUPT;
    return r ? ps_error_set(reterr, r, "what came has another hash: %s", ps_err_text(r)) : 0;
}

static int save(const char *what, const char *output)
{
    PS_CLEANUP(ps_api_reply_fini) struct ps_api_reply reply;
    struct ps_error error = {0};
    uint8_t sha256[PS_SHA256_BYTES];
    char hex[PS_SHA256_HEX];

    ps_api_reply_init(&reply);
    if (ps_hex_decode(sha256, sizeof(sha256), what, strlen(what)))
        return ps_text_complain("artifact", "name one SHA-256");
    ps_hex_encode(hex, sha256, sizeof(sha256));
    if (fetch(hex, &reply, &error) || check(&reply, sha256, &error) ||
        write_to(output ? output : hex, (struct ps_bytes){reply.body.data, reply.body.len}, &error))
        return ps_text_complain("artifact", error.text);
    return PS_EXIT_OK;
}

int ps_cmd_artifact(int argc, char **argv)
{
    struct settings settings = {0};
    struct ps_opts_args rest = {0};
    int status =
        ps_text_options(options, &settings, argc, argv, "artifact [-o FILE] SHA256",
                        "Saves a file that an engine derived from a sample; `phagescan report` lists them.\n"
                        "It is as dangerous as the sample.",
                        &rest);

    if (status < 0)
        status = rest.argc == 1 ? save(rest.argv[0], settings.output)
                                : ps_text_complain("artifact", "name one SHA-256");
    ps_opts_fini(options, &settings);
    return status;
}
