{#- The last change that is in this model. A number in the query, because Postgres estimates a third
    of a table for what is later than a subquery, and would read all of it. -#}
{% macro watermark() -%}
    {{ run_query('select coalesce(max(_number), 0) from ' ~ this).columns[0].values()[0] }}
{%- endmacro %}

{#- Changes of a source that are not in this model yet; all of them when it is built first. -#}
{% macro new_changes(table) %}
    select * from {{ source('dbt_raw', table) }}
    {%- if is_incremental() %} where _number > {{ watermark() }}{% endif %}
{% endmacro %}
