#!/bin/bash
# sqlite3 under the library: 100,000 rows, indexes, joins, a recursive query, text functions, updates, deletes,
# VACUUM, integrity_check, dump and reload. Answers must equal those of a run without the library; the counts
# that arithmetic gives are also checked as such.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need sqlite3 sqlite3
need_override

cat >"$tmp/work.sql" <<'END'
pragma journal_mode = wal;
pragma synchronous = off;
create table person (id integer primary key, name text, town integer, note text);
create table town (id integer primary key, name text unique);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000) insert into town select i, 'town' || i from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000)
  insert into person select i, printf('name%06d', (i * 7919) % 100003), (i * 31) % 1000 + 1, substr(hex(zeroblob(i % 120)), 1, i % 200) from n;
create index person_town on person (town, name);
create index person_note on person (note, id);
select count(*), sum(id), min(name), max(name), total(length(note)) from person;
select t.name, count(*), group_concat(substr(p.name, 5, 3)) from town t join person p on p.town = t.id where t.id in (7, 500) group by t.id;
select count(*) from person a join person b on a.town = b.town and a.id < b.id;
select town, name, row_number() over (partition by town order by name desc) r from person where town < 4 order by town, r limit 12;
update person set note = note || upper(name), town = town % 500 + 1 where id % 3 = 0;
delete from person where id % 10 = 0;
select json_group_array(name) from (select name from person where town = 42 order by name limit 20);
select sum(length(replace(note, '0', 'zero'))) from person;
select count(distinct note), count(distinct town) from person;
with recursive f(a, b) as (select 0, 1 union all select b, a + b from f limit 80) select max(a) from f;
vacuum;
pragma integrity_check;
select count(*) from person;
END

# session NAME RUNNER: in a fresh database; answers in $tmp/NAME.out.
session() {
	"$2" "$1" sqlite3 -batch -bail "$tmp/$1.db" <"$tmp/work.sql"
	"$2" "$1.dump" sqlite3 -batch "$tmp/$1.db" .dump
	"$2" "$1.reload" sqlite3 -batch -bail "$tmp/$1.copy.db" <"$tmp/$1.dump.out"
	"$2" "$1.copy" sqlite3 -batch "$tmp/$1.copy.db" 'pragma integrity_check; select count(*), sum(id) from person'
}

session plain run
session preloaded run_preloaded
for answer in "" .dump .copy; do
	same_file "answers of sqlite3" "$tmp/preloaded$answer.out" "$tmp/plain$answer.out"
done
equal "first answer" "$(sed -n 2p "$tmp/preloaded.out" | cut -d'|' -f1-2)" "100000|5000050000"
equal "integrity_check" "$(tail -n 2 "$tmp/preloaded.out" | xargs)" "ok 90000"
equal "integrity_check of the reloaded copy" "$(head -n 1 "$tmp/preloaded.copy.out")" ok
