-- Load for the benchmarks: two tables and a procedure that fills them.
--
--   call load_rows(table, kind, first id, rows, rows per transaction)
--
-- `events` rows are ~240 bytes as pgoutput text messages, `orders` rows ~100 bytes.
-- kind: insert; update (every row of the range once); delete; mixed (60 % insert of new ids above the range's
-- first id, 30 % update, 10 % delete of ids inserted earlier by the same call); scattered (of each transaction's rows,
-- spread over the whole table, 70 % are updated and 30 % deleted; first id = the table's rows; no row twice).
-- Rows are deterministic in their id, so that a run can be repeated.

create table if not exists events (
  id         bigint primary key,
  tenant     integer not null,
  kind       text not null,
  created_at timestamptz not null,
  amount     numeric(12, 2),
  session    uuid not null,
  payload    text not null
);

create table if not exists orders (
  id         bigint primary key,
  customer   integer not null,
  status     text not null,
  amount     numeric(12, 2) not null,
  created_at timestamp not null
);

create or replace function insert_rows(target text, lo bigint, hi bigint) returns void language plpgsql as $$
begin
  if target = 'events' then
    insert into events
      select i, (i * 7919) % 1000, 'kind-' || i % 40, timestamptz '2026-01-01 00:00:00+00' + i * interval '1 second',
             (i % 1000000) / 100.0, md5(i::text)::uuid,
             md5((i * 3)::text) || md5((i * 5)::text) || md5((i * 7)::text)
      from generate_series(lo, hi) i;
  else
    insert into orders
      select i, (i * 7919) % 100000, 'status-' || i % 5, (i % 1000000) / 100.0,
             timestamp '2026-01-01 00:00:00' + i * interval '1 second'
      from generate_series(lo, hi) i;
  end if;
end $$;

create or replace procedure load_rows(target text, kind text, first_id bigint, row_count bigint, per_txn bigint)
language plpgsql as $$
declare
  lo bigint := first_id;
  hi bigint;
  last_id constant bigint := first_id + row_count - 1;
  inserted bigint;
  updated bigint;
begin
  while lo <= last_id loop
    hi := least(lo + per_txn - 1, last_id);
    if kind = 'insert' then
      perform insert_rows(target, lo, hi);
    elsif kind = 'update' then
      execute format('update %I set amount = amount + 1 where id between $1 and $2', target) using lo, hi;
    elsif kind = 'delete' then
      execute format('delete from %I where id between $1 and $2', target) using lo, hi;
    elsif kind = 'mixed' then
      inserted := greatest((hi - lo + 1) * 6 / 10, 1);
      updated := (hi - lo + 1) * 3 / 10;
      perform insert_rows(target, lo, lo + inserted - 1);
      execute format('update %I set amount = amount + 1 where id in '
                     '(select i from generate_series($1, $2) i)', target)
        using lo, lo + updated - 1;
      execute format('delete from %I where id between $1 and $2', target)
        using lo + inserted - (hi - lo + 1 - inserted - updated), lo + inserted - 1;
    elsif kind = 'scattered' then
      -- 7368787 is prime: the ids of a call are spread over the table and all different, as long as rows <= first_id.
      execute format('update %I set amount = amount + 1 where id in '
                     '(select 1 + (i * 7368787) %% $3 from generate_series($1, $2) i where i %% 10 < 7)', target)
        using lo, hi, first_id;
      execute format('delete from %I where id in '
                     '(select 1 + (i * 7368787) %% $3 from generate_series($1, $2) i where i %% 10 >= 7)', target)
        using lo, hi, first_id;
    else
      raise exception 'unknown kind of load: %', kind;
    end if;
    commit;
    lo := hi + 1;
  end loop;
end $$;
