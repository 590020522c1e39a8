comment on table mart.dim_dates
is 'One row per day, for whole years. Day 0001-01-01 is the unknown one.';
comment on column mart.dim_dates.date_key
is 'The day, in the shop''s time zone.';
comment on column mart.dim_dates.year
is 'Year.';
comment on column mart.dim_dates.quarter
is 'Quarter of the year, 1 to 4.';
comment on column mart.dim_dates.month
is 'Month, 1 to 12.';
comment on column mart.dim_dates.day
is 'Day of the month.';
comment on column mart.dim_dates.day_of_year
is 'Day of the year, from 1.';
comment on column mart.dim_dates.iso_year
is 'Year that the ISO 8601 week belongs to.';
comment on column mart.dim_dates.iso_week
is 'ISO 8601 week.';
comment on column mart.dim_dates.weekday
is 'Day of the week, 1 is Monday.';
comment on column mart.dim_dates.weekday_name
is 'Name of that day, in English.';
comment on column mart.dim_dates.month_name
is 'Name of the month, in English.';
comment on column mart.dim_dates.is_weekend
is 'Whether it is a Saturday or a Sunday.';
comment on column mart.dim_dates.month_start_date
is 'First day of the month.';
comment on column mart.dim_dates.week_start_date
is 'Monday of the week.';
comment on column mart.dim_dates.quarter_start_date
is 'First day of the quarter.';
