-- A shop that nobody wrote contracts for: 40 tables, every type of Postgres, any names and keys.
create type mood as enum ('sad', 'ok', 'it''s "fine"');
create type pair as (a integer, "B c" text);
create domain amount as numeric(12, 3) check (value >= 0);
create domain short_amount as amount;

-- Every type, with what is hard about it. A row of nulls, and one of values (XML has none: Postgres
-- may be built without it).
create table every_type (
    id bigint primary key,
    an_int2 smallint, an_int4 integer, an_int8 bigint, an_oid oid,
    a_numeric numeric(38, 10), a_whole numeric(20), a_tiny numeric(3, 5), a_round numeric(3, -2),
    a_free numeric, a_wide numeric(100, 50), an_amount amount, a_short_amount short_amount,
    some_money money,
    a_float4 real, a_float8 double precision, a_nan double precision, an_infinity real,
    a_bool boolean,
    a_text text, a_varchar varchar(20), a_char char(8), a_name name, an_internal_char "char",
    a_bytea bytea, empty_bytes bytea,
    a_date date, an_early_date date, a_time time, midnight time, a_timetz timetz,
    a_timestamp timestamp, a_timestamp0 timestamp(0), a_timestamptz timestamptz,
    an_interval interval,
    a_uuid uuid, a_json json, a_jsonb jsonb, an_xml xml,
    an_inet inet, a_cidr cidr, a_macaddr macaddr, a_macaddr8 macaddr8,
    a_bit bit(1), some_bits bit(11), var_bits varbit(20),
    a_point point, a_line line, an_lseg lseg, a_box box, a_path path, a_polygon polygon,
    a_circle circle,
    a_tsvector tsvector, a_tsquery tsquery, a_jsonpath jsonpath,
    a_lsn pg_lsn, a_snapshot pg_snapshot, an_xid xid, an_xid8 xid8, a_tid tid, a_class regclass,
    an_int4range int4range, an_int8range int8range, a_numrange numrange, a_daterange daterange,
    a_tsrange tsrange, a_tstzrange tstzrange, an_int4multirange int4multirange,
    a_mood mood, a_pair pair,
    some_ints integer[], some_bigints bigint[], some_bools boolean[], some_texts text[],
    some_varchars varchar(10)[], some_numerics numeric(8, 2)[], some_dates date[],
    some_timestamptzs timestamptz[], some_timestamps timestamp[], some_uuids uuid[],
    some_byteas bytea[], some_jsonbs jsonb[], some_floats double precision[], some_moods mood[],
    no_ints integer[], a_grid integer[][],
    a_sum integer generated always as (an_int2 + 1) stored
);
comment on table every_type is 'One row per test of a type.';
comment on column every_type.a_text is 'Anything at all.';
insert into every_type (id) values (1);
insert into every_type values (
    2, -32768, 2147483647, -9223372036854775808, 4294967295,
    '-1234567890123456789012345678.0123456789', 12345678901234567890, 0.00123, 12300, 1.10,
    '12345678901234567890123456789012345678901234567890.5', 7.5, 1.125, -12.34,
    0.1, 1e-300, 'NaN', '-Infinity', true,
    E'a\tb\n"c\\d" é 𝄞', ' padded ', 'ab', 'n"ame', 'x',
    '\x00ff10', '\x',
    '2026-03-01', '0044-03-15', '23:59:59.999999', '24:00:00', '12:00:00+02',
    '2026-03-29 02:30:00.123456', '2026-03-29 02:30:00', '2026-03-29 02:30:00.1+02',
    '1 year 2 mons -3 days 04:05:06.7',
    '0b0e0a0c-0000-4000-8000-00000000000f', '{"a" : [1, 2.50]}', '{"b": {"c": null}}', null,
    '192.168.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
    b'1', b'10110011101', b'101',
    '(1.5,2.5)', '{1,2,3}', '[(0,0),(1,1)]', '(1,1),(0,0)', '((0,0),(1,1))', '((0,0),(1,1),(1,0))',
    '<(0,0),1>',
    'fat cat', 'fat & cat', '$.a[*]',
    '16/B374D848', '10:20:10,14,15', '7', '8', '(0,1)', 'pg_class',
    '[1,5)', '[1,)', '(1.5,2.5]', '[2026-03-01,2026-03-05)',
    '[2026-03-01 10:00,2026-03-01 11:00)', '[2026-03-01 10:00+00,)', '{[1,3),[5,7)}',
    'it''s "fine"', row(1, 'b"c,d'),
    '{1,null,3}', '{9223372036854775807}', '{t,f,null}', '{"a \"b\", [c]",null,"","null"}',
    '{x}', '{1.25,-3.00}', '{2026-03-01,null}',
    '{2026-03-01 10:00:00+01}', '{2026-03-01 10:00:00.5}', '{0b0e0a0c-0000-4000-8000-00000000000f}',
    '{"\\x00ff",null}', '{"{\"a\": 1}"}', '{0.5,-1e300}', '{sad,ok}',
    '{}', '{{1,2},{3,4}}'
);

-- Keys: of several columns, text, uuid, and of types that have several texts for one value.
create table by_composite (
    tenant integer, "Line, No." smallint, note text, primary key ("Line, No.", tenant)
);
insert into by_composite values (1, 11, 'a'), (11, 1, 'b'), (1, 1, null);
create table by_text (code text primary key, n integer);
insert into by_text values ('a,b', 1), ('', 2), ('é"\', 3), ('A', 4), ('a', 5);
create table by_uuid (id uuid primary key, n integer);
insert into by_uuid values ('0b0e0a0c-0000-4000-8000-00000000000f', 1);
create table by_numeric (amount numeric primary key, n integer);
insert into by_numeric values (1.50, 1), (2, 2);
create table by_date (day date primary key, n integer);
insert into by_date values ('2026-03-01', 1);
create table by_instant (at timestamptz, mood mood, n integer, primary key (at, mood));
insert into by_instant values ('2026-03-01 10:00:00.5+00', 'ok', 1);
create table by_bytes (hash bytea primary key, n integer);
insert into by_bytes values ('\x00ff', 1), ('\x', 2);
create table by_bool (yes boolean primary key, n integer);
insert into by_bool values (true, 1), (false, 2);
create table by_unique (n integer not null unique, note text);
create table by_nothing (n integer, note text);
insert into by_nothing values (1, 'a'), (1, 'a');

-- Names that silver, Delta, Kafka or SQL have a use of their own for.
create table names (
    id integer primary key,
    "Id" integer, "a.b" integer, "a b" integer, "a""b" integer, "a,b" integer, "ä;{}()=" integer,
    "*" integer, "^a.*$" integer, "select" integer, "_offset" integer, "_key" integer,
    lsn text, tx_id text, operation text, key text, value text, before_key text,
    valid_from_at timestamptz, "_deleted_at" timestamptz, "text:id" integer, "raw:id" integer,
    "a12345678901234567890123456789012345678901234567890123456789012" integer
);
insert into names values (
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 'l', 't', 'o', 'k', 'v', 'b',
    '2026-03-01 10:00:00+00', null, 13, 14, 15
);
create table "Capitals" ("Id" integer primary key, "Name" text);
insert into "Capitals" values (1, 'a');
create table capitals (id integer primary key, name text);
create table "with-dash" (id integer primary key);
create table users_history (id integer primary key, n integer);
create table users (id integer primary key, n integer);
create table quarantine (id integer primary key, n integer);
create table contracts (id integer primary key, n integer);
insert into users_history values (1, 1);
insert into users values (1, 2);
insert into quarantine values (1, 3);
-- Left out, because two tables could share a topic; nothing else stops.
create table "price.list" (id integer primary key);
create table "order lines" (id integer primary key);

-- One partitioned table, and one whose large values stay out of line.
create table measured (
    at date not null, sensor integer not null, value numeric(10, 2), primary key (at, sensor)
) partition by range (at);
create table measured_2026_q1 partition of measured
for values from ('2026-01-01') to ('2026-04-01');
create table measured_rest partition of measured default;
insert into measured values ('2026-03-01', 1, 1.5), ('2027-01-01', 1, 2.5);
create table with_virtual (
    id integer primary key, body text, doubled integer generated always as (id * 2) virtual
);

-- Wide: as many columns as Postgres allows.
do $$
begin
    execute (
        select 'create table wide (id integer primary key, '
            || string_agg(format('c%s %s', n, (array['integer', 'text', 'date'])[n % 3 + 1]), ', ')
            || ')'
        from generate_series(1, 1599) as n
    );
    execute 'insert into wide (id, c1, c1599) values (1, ''x'', 7)';
    -- The others are plain: their number is what is hard about them.
    for n in 1..16 loop
        execute format('create table plain_%s (id bigserial primary key, name text, n integer)', n);
        execute format(
            'insert into plain_%s (name, n) select ''a'' || i, i from generate_series(1, 5) as i', n
        );
    end loop;
end
$$;
