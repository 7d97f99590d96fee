#include "tests/unit/unit.h"

#include "base/bytes.h"
#include "master/web/route.h"

static const struct ps_route *find(const char *method, const char *path, bool *ret_other)
{
    struct ps_bytes args[PS_CALL_ARGS_MAX] = {{0}};

    return ps_route_find(ps_bytes_of(method), ps_bytes_of(path), args, ret_other);
}

static void method_and_path_lead_to_a_handler(void **state)
{
    bool other;

    assert_ptr_equal(find("GET", "/api/v1/submissions", &other)->run, ps_get_submissions);
    assert_ptr_equal(find("POST", "/api/v1/submissions", &other)->run, ps_post_submissions);
    assert_ptr_equal(find("GET", "/api/v1/submissions/5", &other)->run, ps_get_submission);
    assert_ptr_equal(find("HEAD", "/api/v1/uploads/x", &other)->run, ps_get_upload);
    assert_ptr_equal(find("PATCH", "/api/v1/uploads/x", &other)->run, ps_patch_upload);
    assert_ptr_equal(find("POST", "/api/v1/samples/x/scans", &other)->run, ps_post_sample_scans);
}

static void a_known_path_with_another_method_is_told_apart(void **state)
{
    bool other;

    assert_null(find("PUT", "/api/v1/submissions", &other));
    assert_true(other);
    assert_null(find("get", "/api/v1/submissions", &other)); /* methods have their case */
    assert_true(other);
    assert_null(find("GET", "/api/v1/submission", &other));
    assert_false(other);
    assert_null(find("GET", "/api/v1/submissions/5/x", &other));
    assert_false(other);
    assert_null(find("GET", "/", &other));
    assert_false(other);
    assert_null(find("", "", &other));
    assert_false(other);
}

static void what_changes_something_is_for_leaders(void **state)
{
    static const char *const changes[][2] = {
        {"POST", "/api/v1/batch"},       {"POST", "/api/v1/uploads"},
        {"PATCH", "/api/v1/uploads/x"},  {"DELETE", "/api/v1/uploads/x"},
        {"POST", "/api/v1/submissions"}, {"POST", "/api/v1/samples/x/scans"}};
    bool other;

    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        assert_true(find(changes[i][0], changes[i][1], &other)->flags & PS_ROUTE_LEADER);
    assert_false(find("GET", "/api/v1/submissions", &other)->flags & PS_ROUTE_OPEN);
    assert_true(find("POST", "/api/v1/tokens", &other)->flags & PS_ROUTE_LOCAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(method_and_path_lead_to_a_handler),
        cmocka_unit_test(a_known_path_with_another_method_is_told_apart),
        cmocka_unit_test(what_changes_something_is_for_leaders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
