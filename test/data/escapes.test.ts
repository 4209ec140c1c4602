/** The ways out of a tenant, a role or a limit that SQL offers: each is closed by the instance itself, even for a session that could send any statement, and by the service before that. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Effect, Redacted } from "effect"
import { PgConnection } from "@effect/sql-pg"
import { type Running, rowsOf, startData } from "./callers.ts"

let data: Running
beforeAll(async () => {
  data = await startData()
})
afterAll(() => data.stop())

/** What became of each statement, sent in order to one bare session of the role that callers' SQL runs as. */
const bare = (statements: ReadonlyArray<string>, role = "data_query"): Promise<ReadonlyArray<string>> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const url = Redacted.make(data.database.url.replace("user=data", `user=${role}`))
        const session = yield* PgConnection.make({ url, prepare: false })
        const outcomes: Array<string> = []
        for (const statement of statements) {
          outcomes.push(
            yield* session.query(statement).pipe(
              Effect.map(({ rows }) =>
                JSON.stringify(rows, (_, value) => (typeof value === "bigint" ? String(value) : value))
              ),
              Effect.catch((error) => Effect.succeed(String((error.reason.cause as { code?: string }).code)))
            )
          )
        }
        return outcomes
      })
    )
  )

const statusOf = async (sql: string) => (await data.query(sql)).status
const state = async (sql: string) => {
  const answer = await data.query(sql)
  return answer.status === 200
    ? answer.text
    : (/SQLSTATE (\w+)/u.exec(answer.text)?.[1] ?? String(answer.json()["code"]))
}

describe("security: the tenant", () => {
  test("security: set_config of the claims is refused, in a CTE, a subquery, a function of a row and a FROM", async () => {
    for (const call of ["set_config('gw.claims', 'x', false)", "set_config('gw.claims', 'x', true)"]) {
      for (const sql of [
        `WITH forged AS MATERIALIZED (SELECT ${call}) SELECT * FROM forged, sales.orders`,
        `SELECT (SELECT ${call}), * FROM sales.orders`,
        `SELECT * FROM ${call} AS forged, sales.orders`,
        `SELECT * FROM sales.orders, LATERAL (SELECT ${call}) q`,
        `SELECT * FROM sales.orders ORDER BY ${call}`,
        `VALUES (${call})`
      ]) {
        expect([sql, await state(sql)]).toEqual([sql, "42501"])
      }
    }
  })

  test("security: claims that a session sets by itself are worth nothing", async () => {
    const forged = Buffer.from(JSON.stringify({ sub: "north", tenants: ["*"], challenge: "", exp: 4e9 })).toString(
      "hex"
    )
    const [, none, , unsigned, , signed] = await bare([
      "SELECT 1",
      "SELECT count(*) FROM sales.orders",
      `SET gw.claims = '${forged}'`,
      "SELECT count(*) FROM sales.orders",
      `SET gw.claims = '${forged}.${"0".repeat(64)}'`,
      "SELECT count(*) FROM sales.orders"
    ])
    expect([none, unsigned, signed]).toEqual(["28000", "28000", "28000"])
  })

  test("security: signed claims work in no other session and not after their end", async () => {
    const seen = rowsOf(await data.query("SELECT current_setting('gw.claims') AS token"))[0]!["token"]
    expect(String(seen)).toMatch(/^[0-9a-f]+\.[0-9a-f]{64}$/u)
    const [, replayed] = await bare([`SET gw.claims = '${String(seen)}'`, "SELECT count(*) FROM sales.orders"])
    expect(replayed).toBe("28000")
    const claims = rowsOf(await data.query("SELECT gw.claims() AS claims"))[0]!["claims"] as {
      exp: number
      challenge: string
    }
    expect(claims.exp - Date.now() / 1000).toBeLessThan(15)
    expect(claims.challenge).toMatch(/^\d+:\d+$/u)
  })

  test("security: the signing key, memberships, records and passwords cannot be read", async () => {
    for (const relation of [
      "gw.signing_key",
      "gw.membership",
      "gw.ingest",
      "gw.definition",
      "pg_authid",
      "pg_shadow",
      "pg_user_mapping",
      "pg_statistic",
      "pg_largeobject"
    ]) {
      expect([relation, await state(`SELECT * FROM ${relation}`)]).toEqual([relation, "42501"])
    }
    expect(await state("SELECT gw.publish()")).toBe("42501")
    expect(await state("SELECT gw.protect('sales.orders', 'id')")).toBe("42501")
  })

  test("security: views of their owner, partitions, snapshots and functions of their owner are withheld", async () => {
    for (const relation of ["sales.trap", "sales.frozen", "sales.parts_south", "sales.leak()"]) {
      expect([relation, await state(`SELECT * FROM ${relation}`)]).toEqual([relation, "42501"])
    }
    expect(rowsOf(await data.query("SELECT n FROM sales.parts"))).toEqual([{ n: 1 }])
    expect(rowsOf(await data.query("SELECT sum(pieces)::int AS sum FROM sales.totals"))).toEqual([{ sum: 420 }])
  })

  test("security: what another role keeps beside the datasets is neither listed nor read", async () => {
    await data.database.query(`DO $$ BEGIN
      CREATE SCHEMA beside AUTHORIZATION data_write;
      CREATE TABLE beside.own (n int);
      CREATE TABLE sales.foreign_owned (n int);
    END $$`)
    const { datasets } = (await data.ask("/data/v1/catalog")).json() as {
      datasets: ReadonlyArray<{ schema: string; name: string; withheld: string | null }>
    }
    expect(datasets.some(({ schema }) => schema === "beside")).toBe(false)
    expect(datasets.find(({ name }) => name === "foreign_owned")?.withheld).toBe("not_owned")
    expect([await state("TABLE beside.own"), await state("TABLE sales.foreign_owned")]).toEqual(["42501", "42501"])
  })

  test("security: a new function of an author's is nobody's until it is known to run with the caller's rights", async () => {
    await data.database.query(`DO $$ BEGIN
      SET LOCAL ROLE data;
      CREATE FUNCTION sales.new_leak() RETURNS SETOF sales.orders LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM sales.orders';
      CREATE FUNCTION sales.twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
    END $$`)
    expect(await state("SELECT * FROM sales.new_leak()")).toBe("42501")
    await data.database.query("DO $$ BEGIN SET LOCAL ROLE data; PERFORM gw.publish(); END $$")
    expect(await state("SELECT * FROM sales.new_leak()")).toBe("42501")
    expect(rowsOf(await data.query("SELECT sales.twice(2) AS four"))).toEqual([{ four: 4 }])
  })

  test("security: what an author grants or forgets is put right", async () => {
    await data.database.query(`DO $$ BEGIN
      SET LOCAL ROLE data;
      CREATE TABLE sales.later (tenant text, n int);
      ALTER TABLE sales.later ENABLE ROW LEVEL SECURITY;
      GRANT ALL ON sales.later, sales.trap, sales.parts_south TO PUBLIC;
    END $$`)
    await data.database.query("DO $$ BEGIN SET LOCAL ROLE data; PERFORM gw.publish(); END $$")
    expect(await state("SELECT * FROM sales.trap")).toBe("42501")
    expect(await state("SELECT * FROM sales.parts_south")).toBe("42501")
    expect(rowsOf(await data.query("SELECT * FROM sales.later"))).toEqual([])
    const [, written] = await bare([
      "SET default_transaction_read_only = off",
      "INSERT INTO sales.later VALUES ('x', 1)"
    ])
    expect(written).toBe("42501")
    const forced = await data.database.query(
      "SELECT relforcerowsecurity AS forced FROM pg_class WHERE relname = 'later'"
    )
    expect(forced).toEqual([{ forced: true }])
  })

  test("security: an error does not show a row of another tenant", async () => {
    for (const sql of [
      "SELECT note::int FROM sales.orders WHERE tenant = 'south'",
      "SELECT 1 / (CASE WHEN tenant = 'south' THEN 0 ELSE 1 END) FROM sales.orders",
      "SELECT * FROM sales.orders WHERE (CASE WHEN tenant = 'south' THEN note::int ELSE 1 END) = 1",
      "SELECT * FROM sales.orders WHERE tenant = 'south' AND 1 / (amount - 1) = 1"
    ]) {
      expect([sql, await statusOf(sql)]).toEqual([sql, 200])
    }
  })

  test("security: plans count no hidden rows, and statistics show none", async () => {
    expect((await data.query("EXPLAIN ANALYZE SELECT * FROM sales.orders")).json()["code"]).toBe("statement_refused")
    await data.database.query("ANALYZE sales.orders, sales.products")
    expect(
      rowsOf(await data.query("SELECT * FROM pg_stats WHERE schemaname = 'sales' AND tablename = 'orders'"))
    ).toEqual([])
    expect(await state("SELECT * FROM pg_stats_ext")).toMatch(/42501|"rows":\[\]/u)
    for (const call of ["pg_stat_get_live_tuples(1)", "pg_stat_get_tuples_inserted(1)"]) {
      expect(await state(`SELECT ${call}`)).toBe("42501")
    }
  })

  test("security: what others run cannot be seen, cancelled or ended", async () => {
    for (const sql of [
      "SELECT query FROM pg_stat_activity",
      "SELECT pg_stat_get_backend_activity(1)",
      "SELECT * FROM pg_locks",
      "SELECT pg_cancel_backend(1)",
      "SELECT pg_terminate_backend(1)",
      "SELECT pg_log_backend_memory_contexts(1)",
      "SELECT * FROM pg_prepared_statements",
      "SELECT * FROM pg_cursors"
    ]) {
      expect([sql, await state(sql)]).toEqual([sql, "42501"])
    }
  })
})

describe("security: the role", () => {
  test("security: set_config of the role and SET ROLE leave the role as it is", async () => {
    expect(await state("SELECT set_config('role', 'data', false)")).toBe("42501")
    expect(await state("SELECT set_config('session_authorization', 'postgres', false)")).toBe("42501")
    for (const sql of ["SET ROLE data", "RESET ROLE", "SET SESSION AUTHORIZATION postgres", "DO $$ BEGIN END $$"]) {
      expect([sql, await state(sql)]).toEqual([sql, "statement_refused"])
    }
    const roles = ["data", "data_write", "data_trusted", "postgres", "pg_read_all_data", "pg_execute_server_program"]
    expect(await bare(roles.map((role) => `SET ROLE ${role}`))).toEqual(roles.map(() => "42501"))
    const [member] = await bare(["SELECT count(*)::int AS n FROM pg_auth_members WHERE member = 'data_query'::regrole"])
    expect(member).toBe('[{"n":0}]')
  })

  test("security: several statements in one text are refused by the protocol as well", async () => {
    expect(await bare(["SELECT 1; SELECT 2", "COMMIT; BEGIN", "SELECT 1; SET ROLE data"])).toEqual([
      "42601",
      "42601",
      "42601"
    ])
    expect(await state("SELECT 1) q; SELECT (1")).toBe("42601")
    expect(await state("SELECT 1) q, (SELECT 2")).toBe("42601")
  })

  test("security: nothing can be made, written or locked, though the session tried to leave read-only", async () => {
    const outcomes = await bare([
      "SET default_transaction_read_only = off",
      "CREATE TEMP TABLE t (a int)",
      "CREATE TABLE sales.t (a int)",
      "CREATE SCHEMA s",
      "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
      "INSERT INTO sales.products VALUES ('x', 'x', 1)",
      "UPDATE sales.products SET price = 0",
      "DELETE FROM sales.products",
      "TRUNCATE sales.products",
      "LOCK TABLE sales.products IN ACCESS EXCLUSIVE MODE",
      "SELECT * FROM sales.products FOR UPDATE",
      "COPY sales.products TO PROGRAM 'true'",
      "COPY sales.products FROM '/etc/passwd'",
      "CREATE EXTENSION dblink",
      "ALTER ROLE data_query SUPERUSER",
      "GRANT data TO data_query",
      "ALTER SYSTEM SET work_mem = '1GB'",
      "CREATE DATABASE x"
    ])
    expect(outcomes.slice(1)).toEqual([
      "42501",
      "42501",
      "42501",
      "42501",
      "42501",
      "42501",
      "42501",
      "42501",
      "25P01",
      "42501",
      "42501",
      "42501",
      "42501",
      "42501",
      "42501",
      "42501",
      "42501"
    ])
  })

  test("security: functions that run text, write, lock, wait, notify or touch files and large objects are closed", async () => {
    for (const call of [
      "query_to_xml('SELECT 1', true, true, '')",
      "table_to_xml('sales.orders', true, true, '')",
      "schema_to_xml('sales', true, true, '')",
      "database_to_xml(true, true, '')",
      "ts_stat('SELECT to_tsvector(note) FROM sales.orders')",
      "pg_sleep(0.01)",
      "pg_sleep_for('1 ms')",
      "pg_advisory_lock(1)",
      "pg_try_advisory_lock(1)",
      "pg_advisory_xact_lock_shared(1)",
      "pg_notify('a', 'b')",
      "pg_current_xact_id()",
      "txid_current()",
      "lo_creat(1)",
      "lo_from_bytea(0, 'x')",
      "lo_get(1)",
      "lo_import('/etc/passwd')",
      "pg_read_file('/etc/passwd')",
      "pg_read_binary_file('PG_VERSION')",
      "pg_ls_dir('.')",
      "pg_stat_file('PG_VERSION')",
      "pg_export_snapshot()",
      "pg_logical_emit_message(true, 'a', 'b')",
      "pg_reload_conf()",
      "pg_rotate_logfile()",
      "pg_switch_wal()",
      "nextval('sales.orders_id_seq')",
      "setval('sales.orders_id_seq', 1)",
      "currtid2('sales.orders', '(0,1)')",
      "pg_relation_size('sales.orders')"
    ]) {
      expect([call, await state(`SELECT * FROM ${call}`)]).toEqual([call, "42501"])
    }
    expect(await state("SELECT dblink('host=/tmp', 'SELECT 1')")).toBe("42883")
  })

  test("security: no function that may do more than read is left to everybody", async () => {
    const open = await data.database.query(`
      SELECT p.oid::regprocedure::text AS name FROM pg_proc p
      WHERE p.provolatile = 'v' AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
        AND has_function_privilege('data_query', p.oid, 'EXECUTE') ORDER BY 1`)
    const names = new Set(open.map(({ name }) => String(name).replace(/\(.*$/u, "")))
    for (const known of [
      "array_sample",
      "array_shuffle",
      "clock_timestamp",
      "gen_random_uuid",
      "random",
      "random_normal",
      "timeofday",
      "uuidv4",
      "uuidv7"
    ]) {
      names.delete(known)
    }
    expect([...names]).toEqual([])
  })

  test("security: a search path leads to no other function or table", async () => {
    expect(rowsOf(await data.query("SELECT current_setting('search_path') AS path"))).toEqual([{ path: "pg_catalog" }])
    expect(await statusOf("SELECT * FROM orders")).toBe(404)
    const [, , claims] = await bare(["SET search_path = sales, gw, public", "SELECT 1", "SELECT gw.claims()"])
    expect(claims).toBe("28000")
    const own = await data.database.query(
      "SELECT proname::text AS name FROM pg_proc WHERE pronamespace = 'gw'::regnamespace AND prosecdef AND NOT coalesce(proconfig::text, '') LIKE '%search_path%'"
    )
    expect(own).toEqual([])
  })
})

describe("security: the limits", () => {
  test("security: the time limit holds, and a function cannot change it", async () => {
    expect(await state("SELECT set_config('statement_timeout', '0', false)")).toBe("42501")
    for (const sql of [
      "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
      "SELECT count(*) FROM generate_series(1, 5000) a, generate_series(1, 5000) b WHERE a # b = -1"
    ]) {
      const answer = await data.query(sql, { more: { limits: { timeoutMillis: 200, cost: 1e300 } } })
      expect([sql, answer.status, answer.json()["code"]]).toEqual([sql, 504, "timed_out"])
    }
  })

  test("security: a plan above the cost ceiling is not begun", async () => {
    const sql = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"
    const answer = await data.query(sql)
    expect([answer.status, answer.json()["code"]]).toEqual([422, "limit_exceeded"])
  })

  test("security: a sort beyond the disk's share is refused", async () => {
    const answer = await data.query(
      "SELECT repeat(md5(n::text), 20) AS x FROM generate_series(1, 200000) n ORDER BY 1 OFFSET 199990"
    )
    expect([answer.status, /SQLSTATE (\w+)/u.exec(answer.text)?.[1]]).toEqual([422, "53400"])
  })

  test("security: rows and bytes are cut, said so, and a request can only lower its limits", async () => {
    const many = await data.query("SELECT n FROM generate_series(1, 20000) n", {
      more: { limits: { rows: 1_000_000 } }
    })
    expect([rowsOf(many).length, many.json()["truncated"], many.headers.get("x-data-truncated")]).toEqual([
      10_000,
      true,
      "true"
    ])
    const wide = await data.query("SELECT repeat('x', 1000) AS x FROM generate_series(1, 100) n", {
      more: { limits: { bytes: 5000 } }
    })
    expect([rowsOf(wide).length, wide.json()["truncated"]]).toEqual([4, true])
    const one = await data.query("SELECT repeat('x', 17000000) AS x")
    expect([one.status, one.json()["code"]]).toEqual([422, "limit_exceeded"])
    expect(rowsOf(await data.query("SELECT 1 AS one"))).toEqual([{ one: 1 }])
  })

  test("security: a role's own settings hold for a bare session", async () => {
    const [temporary] = await bare(["SET temp_file_limit = -1"])
    expect(temporary).toBe("42501")
    const [shown] = await bare([
      "SELECT current_setting('temp_file_limit') AS t, current_setting('transaction_read_only') AS r"
    ])
    expect(shown).toBe('[{"t":"64MB","r":"on"}]')
  })
})
