-- The arguments of a run in one line: lists of names, then single values with their names, then the
-- number of offsets. Deeper nested values are omitted.
create or replace function etl.scope_in_words(scope jsonb)
returns text
language sql
immutable
as $$
with parts as (
    select
        e.key,
        case
            when e.key = 'offsets' and jsonb_typeof(e.value) = 'object' then (
                select
                    to_char(
                        sum((s.offsets ->> 'last')::bigint - (s.offsets ->> 'first')::bigint + 1),
                        'FM999,999,999,999,999'
                    ) || ' offsets'
                from jsonb_each(e.value) as t
                cross join lateral jsonb_array_elements(t.value) as s (offsets)
            )
            when jsonb_typeof(e.value) = 'array' then (
                select string_agg(a.name, ', ' order by a.place)
                from jsonb_array_elements_text(e.value) with ordinality as a (name, place)
                where jsonb_typeof(e.value -> 0) <> 'object'
            )
            when e.key in ('dag', 'layer', 'topic', 'entity', 'table') then e.value #>> '{}'
            when jsonb_typeof(e.value) in ('string', 'number', 'boolean')
                then replace(e.key, '_', ' ') || ' ' || (e.value #>> '{}')
        end as words,
        array_position(
            array['dag', 'layer', 'layers', 'topic', 'entity', 'entities', 'table', 'tables'],
            e.key
        ) as place,
        e.key = 'offsets' as is_last
    from jsonb_each(scope_in_words.scope) as e
    where e.key <> 'airflow_run'
)

select coalesce(string_agg(p.words, '; ' order by p.is_last, p.place, p.key), '')
from parts as p
where p.words <> ''
$$;
