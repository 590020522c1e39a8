comment on view mart.live_funnel
is 'One row per stage of a visit, in order: how many visits of the last hour had it.';
comment on column mart.live_funnel.stage_number
is 'Order of the stages, from 1.';
comment on column mart.live_funnel.stage
is 'What was done: view, cart, checkout, purchase.';
