#include "broker/core/state.h"

struct ps_owner *ps_owner_at(const struct ps_core *core, uint32_t owner)
{
    return ps_pool_at(&core->owners, owner);
}

uint32_t ps_owner_get(struct ps_core *core, uint64_t id)
{
    uint32_t number = ps_index_first(&core->owner_by_id, id);

    if (number)
        return number;
    number = ps_pool_take(&core->owners);
    if (!number)
        return 0;
    ps_owner_at(core, number)->id = id;
    if (ps_index_put(&core->owner_by_id, number)) {
        ps_pool_give(&core->owners, number);
        return 0;
    }
    return number;
}

void ps_owner_join(struct ps_core *core, uint32_t owner)
{
    ps_owner_at(core, owner)->jobs_n++;
}

void ps_owner_leave(struct ps_core *core, uint32_t owner)
{
    ps_owner_at(core, owner)->jobs_n--;
    ps_owner_release(core, owner);
}

void ps_owner_release(struct ps_core *core, uint32_t owner)
{
    if (ps_owner_at(core, owner)->jobs_n)
        return;
    ps_index_remove(&core->owner_by_id, owner);
    ps_pool_give(&core->owners, owner);
}
