comment on view mart.live_funnel
is 'One row per stage of a visit, in order: how many visits got as far as that, or further, '
'within the last hour. What a visit did before that is not counted.';
comment on column mart.live_funnel.stage_number
is 'Order of the stages, from 1.';
comment on column mart.live_funnel.stage
is 'What was done: view, cart, checkout, purchase.';
