/* tests/unit/engine_python.c: what a Python says, understood or refused; and a real one, without a jail. */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engines/python/card.h"
#include "engines/python/interpreter.h"

#define PYTHON "/usr/bin/python3"

/* A whole frame, fed byte by byte. */
static int reply_of(struct ps_frame *frame, struct ps_reply *ret_reply, const char *head, size_t body_len,
                    char err[PS_KIT_TEXT_MAX])
{
    size_t len = strlen(head);
    const uint8_t lengths[PS_FRAME_LENGTHS] = {0, 0, (uint8_t)(len >> 8),      (uint8_t)len,
                                               0, 0, (uint8_t)(body_len >> 8), (uint8_t)body_len};

    ps_frame_drop(frame);
    for (;;) {
        uint8_t *at;
        size_t n;

        assert_int_equal(ps_frame_want(frame, &at, &n), 0);
        if (n == 0)
            return ps_reply_read(ret_reply, frame, err, PS_KIT_TEXT_MAX);
        if (frame->len < PS_FRAME_LENGTHS)
            *at = lengths[frame->len];
        else if (frame->len < PS_FRAME_LENGTHS + len)
            *at = (uint8_t)head[frame->len - PS_FRAME_LENGTHS];
        else
            *at = 'b';
        frame->len++;
    }
}

static void answers_are_understood_or_refused(void **state)
{
    static const struct {
        const char *head;
        size_t body_len;
        int kind; /* 0: refused */
    } cases[] = {
        {"{\"is\":\"done\",\"job\":1,\"outcome\":\"undetected\",\"reason\":\"\",\"last\":false}", 0,
         PS_REPLY_DONE},
        {"{\"is\":\"done\",\"job\":1,\"outcome\":\"undetected\",\"reason\":\"\",\"last\":false}", 1, 0},
        {"{\"is\":\"done\",\"job\":1,\"outcome\":\"clean\",\"reason\":\"\",\"last\":false}", 0, 0},
        {"{\"is\":\"done\",\"job\":1,\"outcome\":\"undetected\",\"reason\":\"\"}", 0, 0},
        {"{\"is\":\"trait\",\"job\":1,\"key\":\"k\"}", 300, PS_REPLY_TRAIT},
        {"{\"is\":\"trait\",\"job\":1,\"key\":\"k\",\"more\":1}", 0, 0},
        {"{\"is\":\"trait\",\"job\":\"1\",\"key\":\"k\"}", 0, 0},
        {"{\"is\":\"finding\",\"job\":1,\"what\":\"described\",\"label\":\"x\"}", 0, 0},
        {"{\"is\":\"nothing\"}", 0, 0},
        {"[]", 0, 0},
        {"{", 0, 0},
    };
    struct ps_frame frame = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ps_reply reply = {.object = NULL};
        char err[PS_KIT_TEXT_MAX] = "";
        int rc = reply_of(&frame, &reply, cases[i].head, cases[i].body_len, err);

        assert_int_equal(rc, cases[i].kind ? 0 : -1);
        assert_int_equal(reply.kind, cases[i].kind);
        assert_int_equal(reply.body_len, cases[i].kind ? cases[i].body_len : 0);
        assert_int_equal(!err[0], rc == 0);
        ps_reply_fini(&reply);
    }
    ps_frame_fini(&frame);
}

static void long_frames_are_refused_by_their_lengths(void **state)
{
    struct ps_frame frame = {0};
    uint8_t *at;
    size_t n;

    (void)state;
    assert_int_equal(ps_frame_want(&frame, &at, &n), 0);
    assert_int_equal(n, PS_FRAME_LENGTHS);
    memset(at, 0xff, n);
    frame.len = n;
    assert_int_equal(ps_frame_want(&frame, &at, &n), -1);
    memset(frame.buf, 0, PS_FRAME_LENGTHS); /* no JSON at all */
    assert_int_equal(ps_frame_want(&frame, &at, &n), -1);
    ps_frame_fini(&frame);
}

/* A directory with e.py in it. */
static void write_engine(char dir[], char file[64], const char *text)
{
    FILE *out;

    assert_non_null(mkdtemp(dir));
    (void)snprintf(file, 64, "%s/e.py", dir); /* fits */
    out = fopen(file, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static int ask_card(const char *text, struct ps_card *ret_card, char err[PS_KIT_TEXT_MAX])
{
    char dir[] = "/tmp/phagescan-unit-XXXXXX", file[64];
    struct ps_interpreter_conf conf = {
        .python = PYTHON, .runner = ENGINE_PYTHON_DIR "/phagescan_runner.py", .mode = "card", .tmpdir = dir};
    struct ps_interpreter python = PS_INTERPRETER_NONE;
    struct ps_reply reply = {.object = NULL};
    int rc;

    write_engine(dir, file, text);
    conf.file = file;
    rc = ps_interpreter_start(&python, &conf, err, PS_KIT_TEXT_MAX);
    rc = rc ? rc : ps_interpreter_ask(&python, json_object(), -1, err, PS_KIT_TEXT_MAX);
    rc = rc ? rc : ps_interpreter_next(&python, &reply, err, PS_KIT_TEXT_MAX);
    rc = rc ? rc : ps_card_read(ret_card, reply.object, err, PS_KIT_TEXT_MAX);
    ps_reply_fini(&reply);
    ps_interpreter_end(&python);
    assert_int_equal(python.pid, 0);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(dir), 0);
    return rc;
}

static void a_class_says_what_it_is(void **state)
{
    struct ps_card card = {.object = NULL};
    char err[PS_KIT_TEXT_MAX] = "";

    (void)state;
    if (access(PYTHON, X_OK) < 0)
        skip();
    assert_int_equal(ask_card("from phagescan_engine import EvilnessEngine\n"
                              "class e_engine(EvilnessEngine):\n    version = '1'\n    at_once = 3\n",
                              &card, err),
                     0);
    assert_int_equal(card.kind, PS_ENGINE_EVILNESS);
    assert_int_equal(card.at_once, 3);
    assert_false(card.updates);
    ps_card_fini(&card);
}

static void an_end_is_explained(void **state)
{
    struct ps_card card = {.object = NULL};
    char err[PS_KIT_TEXT_MAX] = "";

    (void)state;
    if (access(PYTHON, X_OK) < 0)
        skip();
    assert_int_equal(ask_card("import os\nos._exit(9)\n", &card, err), -1);
    assert_string_equal(err, "Python ended with status 9");
    assert_int_equal(ask_card("import os\nos.kill(os.getpid(), 9)\n", &card, err), -1);
    assert_non_null(strstr(err, "killed by signal 9"));
    assert_int_equal(ask_card("import os\nos.write(5, b'\\xff' * 8)\nos._exit(0)\n", &card, err), -1);
    assert_non_null(strstr(err, "long"));
    assert_int_equal(ask_card("raise KeyError('words')\n", &card, err), -1);
    assert_non_null(strstr(err, "KeyError: 'words'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_understood_or_refused),
        cmocka_unit_test(long_frames_are_refused_by_their_lengths),
        cmocka_unit_test(a_class_says_what_it_is),
        cmocka_unit_test(an_end_is_explained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
