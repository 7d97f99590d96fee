/* The state tables of docs/protocol.md name what the code has: every state and event of a job's life, and every check. */
#include "unit.h"

#include "base/mem.h"
#include "broker/core/job.h"
#include "broker/core/life.h"

#define TEXT_MAX (256 * 1024)

static char text[TEXT_MAX];

static void read_document(void)
{
    const char *path = getenv("PHAGESCAN_PROTOCOL_HEAD");
    FILE *file = path ? fopen(path, "r") : NULL;
    size_t n;

    assert_non_null(file);
    n = fread(text, 1, sizeof(text) - 1, file);
    text[n] = '\0';
    assert_int_equal(fclose(file), 0);
}

/* The line of the table of a job's life that begins with this state; as many fields as there are events. */
static unsigned fields_of(const char *state)
{
    char begin[64];
    const char *at = strstr(text, "### A job"), *end;
    unsigned n = 0;

    assert_non_null(at);
    (void)snprintf(begin, sizeof(begin), "\n| %s |", state); /* fits */
    at = strstr(at, begin);
    assert_non_null(at);
    end = strchr(at + 1, '\n');
    assert_non_null(end);
    for (at++; at < end; at++)
        n += *at == '|';
    return n - 2;
}

/* One that is added to the code has no name here: then neither this nor the document is whole. */
static void every_state_has_a_row_with_a_field_for_every_event(void **state)
{
    static const char *const states[] = {[PS_JOB_QUEUED] = "QUEUED",
                                         [PS_JOB_LEASED] = "LEASED",
                                         [PS_JOB_REPORTED] = "REPORTED",
                                         [PS_JOB_DECIDED] = "DECIDED"};
    static const char head[] = "| state | LEASE | REPORT | COMMIT | CANCEL | FREE | LOSE | DECIDE |";

    assert_int_equal(PS_ARRAY_N(states), PS_JOB_STATES_N);
    assert_non_null(strstr(text, head));
    for (size_t i = 0; i < PS_ARRAY_N(states); i++)
        assert_int_equal(fields_of(states[i]), PS_LIFE_EVENTS_N);
}

static void the_columns_are_in_the_order_of_the_events(void **state)
{
    static const char *const events[] = {
        [PS_LIFE_LEASE] = "| LEASE |",   [PS_LIFE_REPORT] = "| REPORT |", [PS_LIFE_COMMIT] = "| COMMIT |",
        [PS_LIFE_CANCEL] = "| CANCEL |", [PS_LIFE_FREE] = "| FREE |",     [PS_LIFE_LOSE] = "| LOSE |",
        [PS_LIFE_DECIDE] = "| DECIDE |"};
    const char *at = strstr(text, "| state | LEASE |");

    assert_int_equal(PS_ARRAY_N(events), PS_LIFE_EVENTS_N);
    for (size_t i = 0; i < PS_ARRAY_N(events); i++) {
        at = at ? strstr(at, events[i]) : NULL;
        assert_non_null(at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_has_a_row_with_a_field_for_every_event),
        cmocka_unit_test(the_columns_are_in_the_order_of_the_events),
    };

    read_document();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
