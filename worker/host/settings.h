/* worker/host/settings.h: the command line of phagescan-enginehost. */
#ifndef PS_HOST_SETTINGS_H
#define PS_HOST_SETTINGS_H

#include "base/opt.h"
#include "worker/host/jail.h"
#include "worker/host/selftest.h"

struct ps_settings {
    char *engine, *plugin, *signatures, *data, *file, *tmp, *origin, *account, *self_test_word; /* owned */
    struct ps_opt_list wall_off;                                                                /* owned */
    uint64_t control;           /* descriptor; 0 for none */
    bool try_files, show_walls; /* modes */
    bool own_account, child_stderr, trap, unjailed;
    struct ps_jail_limits limits;
    uint64_t landlock_abi, recycle, growth_bytes, run_ms;
    uint32_t off;                /* from wall_off: enum ps_wall */
    enum ps_self_test self_test; /* from self_test_word */
    char *set_unused; /* --set is taken out before the table sees it, because values may hold commas */
    char **set;       /* "key=value", borrowed from argv; set_n of them */
    size_t set_n;
    struct ps_opts_args rest; /* arguments that are no options */
};

extern const struct ps_opt ps_settings_table[];

/* Reads the command line (argv is reordered; settings borrows from it). 0, PS_ERR_CANCELLED with text help or version,
 * or a ps_err with a sentence. ps_settings_fini is due in any case. */
int ps_settings_read(struct ps_settings *ret_self, int argc, char **argv, struct ps_error *reterr);
void ps_settings_fini(struct ps_settings *self);

/* The options that say how children are jailed and kept, as words for another zygote's command line ("--memory=..."),
 * with --child-stderr. 0 or PS_ERR_NOMEM; ps_settings_options_fini is due in any case. */
int ps_settings_options(const struct ps_settings *self, struct ps_opt_list *ret_list);
void ps_settings_options_fini(struct ps_opt_list *list);

#endif
