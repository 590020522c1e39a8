comment on view mart.live_minutes
is 'One row per minute of the last hour, the one that runs included: what was ordered in it.';
comment on column mart.live_minutes.minute_at
is 'When the minute began.';
