comment on table mart.daily_behaviour
is 'One row per day and device: how far its visits came on that day.';
comment on column mart.daily_behaviour.date_key
is 'The day.';
