comment on view mart.live_minutes
is 'One row per minute of the last hour, including the current one: sums of its orders.';
comment on column mart.live_minutes.minute_at
is 'Start of the minute.';
