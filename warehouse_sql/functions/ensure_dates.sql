-- Extends dim_dates by the whole years of these days.
create or replace function etl.ensure_dates(days date[])
returns void
language sql
as $$
insert into mart.dim_dates (
    date_key, year, quarter, month, day, day_of_year, iso_year, iso_week, weekday, weekday_name,
    month_name, is_weekend, month_start_date, week_start_date, quarter_start_date
)
select
    d.day,
    extract(year from d.day),
    extract(quarter from d.day),
    extract(month from d.day),
    extract(day from d.day),
    extract(doy from d.day),
    extract(isoyear from d.day),
    extract(week from d.day),
    extract(isodow from d.day),
    trim(to_char(d.day, 'Day')),
    trim(to_char(d.day, 'Month')),
    extract(isodow from d.day) >= 6,
    date_trunc('month', d.day),
    date_trunc('week', d.day),
    date_trunc('quarter', d.day)
from (
    select g.instant::date as day
    from (
        select distinct date_trunc('year', n.day::timestamp) as start_at
        from unnest(days) as n (day)
    ) as y
    cross join generate_series(
        y.start_at, y.start_at + interval '1 year' - interval '1 day', interval '1 day'
    ) as g (instant)
) as d
on conflict (date_key) do nothing
$$;
