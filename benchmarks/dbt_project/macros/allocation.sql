{#- A share of an amount, to the cent, by largest remainder: `worth` is amount times weight, `unit`
    the sum of all weights. `remainders` and `rank` are window functions over these shares. Missing
    shares have the remainder that the sum lacks to whole cents, and rank last among equals. -#}
{% macro share(worth, unit, remainders, rank) %}
    (
        div({{ worth }}, {{ unit }}) + (
            {{ rank }}
            + (
                mod({{ unit }} - mod({{ remainders }}, {{ unit }}), {{ unit }})
                > mod({{ worth }}, {{ unit }})
            )::integer
            <= div({{ remainders }} + {{ unit }} - 1, {{ unit }})
        )::integer
    )::bigint
{% endmacro %}
