/* The broker's table of allowed keys over its directory: numbers of keys, and who is gone after a load. */
#include "unit.h"

#include <unistd.h>

#include "base/log.h"
#include "broker/daemon/allowed.h"

struct scene {
    char *dir;
    struct ps_allowed *allowed;
    struct ps_cert ann, bob;
    uint32_t gone[4]; /* numbers told by the last load */
    size_t gone_n;
};

static void put(struct scene *self, const char *file, struct ps_cert *cert, unsigned roles)
{
    char path[UNIT_PATH_MAX];

    cert->roles = roles;
    assert_int_equal(ps_cert_write(cert, unit_path(path, self->dir, file), false, NULL), 0);
}

static void on_gone(void *ctx, const struct ps_allowed_key *key)
{
    struct scene *self = ctx;

    assert_true(self->gone_n < 4);
    self->gone[self->gone_n++] = key->who;
}

static void load(struct scene *self)
{
    self->gone_n = 0;
    assert_int_equal(ps_allowed_load(self->allowed, on_gone, self, NULL), 0);
}

static uint32_t number_of(struct scene *self, const struct ps_cert *cert)
{
    struct ps_allowed_key key;

    return ps_allowed_find(self->allowed, cert->public_key, &key) ? key.who : 0;
}

static int setup(void **state)
{
    struct scene *self = calloc(1, sizeof(*self));

    ps_log_init("unit", PS_LOG_ERROR);
    self->dir = unit_dir_make();
    assert_int_equal(ps_allowed_new(&self->allowed, self->dir), 0);
    assert_int_equal(ps_cert_make(&self->ann, "ann", 0, NULL), 0);
    assert_int_equal(ps_cert_make(&self->bob, "bob", 0, NULL), 0);
    put(self, "ann.key", &self->ann, PS_CERT_ROLE(PS_ROLE_WORKER));
    load(self);
    *state = self;
    return 0;
}

static int teardown(void **state)
{
    struct scene *self = *state;

    ps_allowed_free(&self->allowed);
    unit_dir_remove(self->dir);
    free(self);
    return 0;
}

static void a_key_keeps_its_number_while_it_stays(void **state)
{
    struct scene *self = *state;
    uint32_t ann = number_of(self, &self->ann);
    char path[UNIT_PATH_MAX], other[UNIT_PATH_MAX];

    assert_int_not_equal(ann, 0);
    assert_int_equal(number_of(self, &self->bob), 0);
    put(self, "bob.key", &self->bob, PS_CERT_ROLE(PS_ROLE_MASTER));
    load(self);
    assert_int_equal(self->gone_n, 0);
    assert_int_equal(number_of(self, &self->ann), ann);
    assert_int_not_equal(number_of(self, &self->bob), ann);
    assert_int_equal(ps_allowed_n(self->allowed), 2);
    /* The file's name does not matter. */
    assert_int_equal(rename(unit_path(path, self->dir, "ann.key"), unit_path(other, self->dir, "z.key")), 0);
    load(self);
    assert_int_equal(self->gone_n, 0);
    assert_int_equal(number_of(self, &self->ann), ann);
}

static void who_goes_and_comes_back_is_somebody_new(void **state)
{
    struct scene *self = *state;
    uint32_t ann = number_of(self, &self->ann);
    char path[UNIT_PATH_MAX];

    assert_int_equal(unlink(unit_path(path, self->dir, "ann.key")), 0);
    load(self);
    assert_int_equal(self->gone_n, 1);
    assert_int_equal(self->gone[0], ann);
    assert_int_equal(number_of(self, &self->ann), 0);
    put(self, "ann.key", &self->ann, PS_CERT_ROLE(PS_ROLE_WORKER));
    load(self);
    assert_int_equal(self->gone_n, 0);
    assert_int_not_equal(number_of(self, &self->ann), ann);
    assert_int_not_equal(number_of(self, &self->ann), 0);
}

static void other_rights_are_somebody_new(void **state)
{
    struct scene *self = *state;
    uint32_t ann = number_of(self, &self->ann);

    put(self, "ann.key", &self->ann, PS_CERT_ROLE(PS_ROLE_MASTER));
    load(self);
    assert_int_equal(self->gone_n, 1);
    assert_int_equal(self->gone[0], ann);
    assert_int_not_equal(number_of(self, &self->ann), ann);
}

/* One bad file costs its own key and nobody else's. */
static void a_file_that_goes_bad_takes_its_key_along(void **state)
{
    struct scene *self = *state;
    char path[UNIT_PATH_MAX];

    put(self, "bob.key", &self->bob, PS_CERT_ROLE(PS_ROLE_WORKER));
    load(self);
    assert_int_equal(ps_file_replace(unit_path(path, self->dir, "bob.key"), "curve", 5, 0644), 0);
    load(self);
    assert_int_equal(self->gone_n, 1);
    assert_int_equal(number_of(self, &self->bob), 0);
    assert_int_not_equal(number_of(self, &self->ann), 0);
}

static void a_directory_that_is_gone_changes_nothing(void **state)
{
    struct scene *self = *state;
    uint32_t ann = number_of(self, &self->ann);
    char away[UNIT_PATH_MAX + 8];

    (void)snprintf(away, sizeof(away), "%s.away", self->dir);
    assert_int_equal(rename(self->dir, away), 0);
    self->gone_n = 0;
    assert_int_equal(ps_allowed_load(self->allowed, on_gone, self, NULL), PS_ERR_NOTFOUND);
    assert_int_equal(rename(away, self->dir), 0);
    assert_int_equal(self->gone_n, 0);
    assert_int_equal(number_of(self, &self->ann), ann);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_keeps_its_number_while_it_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(who_goes_and_comes_back_is_somebody_new, setup, teardown),
        cmocka_unit_test_setup_teardown(other_rights_are_somebody_new, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_goes_bad_takes_its_key_along, setup, teardown),
        cmocka_unit_test_setup_teardown(a_directory_that_is_gone_changes_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
