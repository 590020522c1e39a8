-- Periods have an ISO 8601 length: P1D, P1W, P1M, P3M, P1Y.
create or replace function mart.start_of_period(day date, period_length text)
returns timestamp
language sql
immutable
parallel safe
return date_trunc(
    case period_length
        when 'P1W' then 'week'
        when 'P1M' then 'month'
        when 'P3M' then 'quarter'
        when 'P1Y' then 'year'
        else 'day'
    end, day::timestamp
);

-- Bars of unfinished periods would look like a fall of sales.
create or replace function mart.is_whole_period(
    day date, period_length text, from_at timestamp, until_at timestamp
)
returns boolean
language sql
stable
parallel safe
return
mart.start_of_period(day, period_length) >= coalesce(from_at, '-infinity')
and mart.start_of_period(day, period_length) + period_length::interval <= least(
    until_at, date_trunc('day', now() at time zone current_setting('shop.time_zone'))
);

comment on function mart.is_whole_period is
'Whether the period of this length that the day is in begins at from_at or later, and ends at '
'until_at or earlier and before today, by the shop''s clock. A null bound does not limit.';
