comment on table mart.daily_behaviour
is 'One row per day and device: visits by the furthest stage that they reached on that day.';
comment on column mart.daily_behaviour.date_key
is 'The day.';
