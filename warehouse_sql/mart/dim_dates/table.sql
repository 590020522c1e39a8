create table mart.dim_dates (
    date_key date primary key,
    year integer not null,
    quarter integer not null,
    month integer not null,
    day integer not null,
    day_of_year integer not null,
    iso_year integer not null,
    iso_week integer not null,
    weekday integer not null,
    weekday_name text not null,
    month_name text not null,
    is_weekend boolean not null,
    month_start_date date not null,
    week_start_date date not null,
    quarter_start_date date not null
);

insert into mart.dim_dates (
    date_key, year, quarter, month, day, day_of_year, iso_year, iso_week, weekday, weekday_name,
    month_name, is_weekend, month_start_date, week_start_date, quarter_start_date
)
values (
    '0001-01-01', 1, 1, 1, 1, 1, 1, 1, 1, 'unknown',
    'unknown', false, '0001-01-01', '0001-01-01', '0001-01-01'
);
