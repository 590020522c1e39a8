comment on materialized view mart.customer_behaviour
is 'One row per period and device: visits by the stage that they reached. A visit over midnight '
'counts on each day.';
