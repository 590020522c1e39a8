comment on materialized view mart.customer_behaviour
is 'One row per period and device: how far visits came. A visit over midnight is one on each '
'day.';
