comment on view mart.live_funnel
is 'One row per stage of a visit, in order: visits that reached it, or a later one, within the '
'last hour. Earlier interactions of a visit are not counted.';
comment on column mart.live_funnel.stage_number
is 'Order of the stages, from 1.';
comment on column mart.live_funnel.stage
is 'view, cart, checkout or purchase.';
