/** Which statements are taken: one that reads, in any of its forms; everything else is refused by its form alone. */
import { afterAll, describe, expect, test } from "bun:test"
import { Effect, ManagedRuntime, Result } from "effect"
import { readStatement } from "#data/readStatement.ts"
import { SqlParser } from "#data/SqlParser.ts"

const runtime = ManagedRuntime.make(SqlParser.layer)
afterAll(() => runtime.dispose())

const read = async (sql: string) => {
  const result = await runtime.runPromise(Effect.result(readStatement(sql)))
  return Result.isSuccess(result) ? result.success : result.failure
}
const refusal = async (sql: string) => {
  const found = await read(sql)
  return "_tag" in found ? found._tag : "taken"
}

describe("readStatement", () => {
  test("takes SELECT, WITH, VALUES, TABLE and EXPLAIN, without the semicolon", async () => {
    expect(await read("SELECT 1 ;  ")).toEqual({ kind: "select", text: "SELECT 1 " })
    expect(await read("VALUES (1), (2)")).toMatchObject({ kind: "select" })
    expect(await read("TABLE sales.orders")).toMatchObject({ kind: "select" })
    expect(await read("WITH RECURSIVE n AS (SELECT 1) SELECT * FROM n")).toMatchObject({ kind: "select" })
    expect(await read("SELECT 1 UNION SELECT 2 ORDER BY 1")).toMatchObject({ kind: "select" })
    expect(await read("EXPLAIN (FORMAT JSON, COSTS) SELECT 1")).toMatchObject({ kind: "explain" })
  })

  test("cuts by bytes, not by characters", async () => {
    expect(await read("/* Grüße 👋 */ SELECT 'ä' AS ü; -- ende")).toMatchObject({
      text: "SELECT 'ä' AS ü"
    })
  })

  test("security: anything but one reading statement is refused, wherever it hides", async () => {
    for (const sql of [
      "SELECT 1; SELECT 2",
      "COMMIT",
      "COMMIT; BEGIN",
      "BEGIN",
      "ROLLBACK",
      "SAVEPOINT a",
      "SET ROLE data",
      "RESET ROLE",
      "SET SESSION AUTHORIZATION data",
      "SET statement_timeout = 0",
      "RESET ALL",
      "DISCARD ALL",
      "DO $$ BEGIN PERFORM 1; END $$",
      "CALL x()",
      "COPY sales.orders TO STDOUT",
      "COPY (SELECT 1) TO PROGRAM 'sh'",
      "PREPARE a AS SELECT 1",
      "EXECUTE a",
      "DEALLOCATE ALL",
      "DECLARE c CURSOR FOR SELECT 1",
      "FETCH ALL FROM c",
      "MOVE ALL FROM c",
      "CLOSE ALL",
      "LOCK TABLE sales.orders",
      "LISTEN x",
      "NOTIFY x, 'y'",
      "UNLISTEN *",
      "LOAD 'x'",
      "VACUUM",
      "ANALYZE",
      "CHECKPOINT",
      "REFRESH MATERIALIZED VIEW x",
      "CREATE TEMP TABLE t (a int)",
      "CREATE TABLE t AS SELECT 1",
      "SELECT 1 INTO t",
      "SELECT 1 INTO TEMP t",
      "INSERT INTO sales.orders VALUES (1)",
      "MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE",
      "TRUNCATE sales.orders",
      "GRANT SELECT ON sales.orders TO PUBLIC",
      "ALTER ROLE data_query SUPERUSER",
      "ALTER SYSTEM SET x = 1",
      "WITH w AS (DELETE FROM sales.orders RETURNING *) SELECT * FROM w",
      "SELECT * FROM (WITH w AS (UPDATE sales.orders SET id = 1 RETURNING *) SELECT * FROM w) q",
      "SELECT * FROM sales.orders FOR UPDATE",
      "SELECT * FROM (SELECT * FROM sales.orders FOR SHARE SKIP LOCKED) q",
      "EXPLAIN ANALYZE SELECT 1",
      "EXPLAIN (ANALYZE false, BUFFERS) SELECT 1",
      "EXPLAIN ANALYZE DELETE FROM sales.orders",
      "EXPLAIN DELETE FROM sales.orders",
      "EXPLAIN CREATE TABLE t AS SELECT 1",
      "EXPLAIN EXECUTE a",
      "SHOW ALL",
      "",
      "  -- nothing",
      ";;"
    ]) {
      expect([sql, await refusal(sql)]).toEqual([sql, "StatementRefused"])
    }
  })

  test("says what is not SQL in the server's words", async () => {
    expect(await read("SELEC 1")).toMatchObject({ _tag: "StatementInvalid", state: "42601" })
    expect(await refusal("SELECT 'open")).toBe("StatementInvalid")
    expect(await refusal("SELECT 1) q, (SELECT 2")).toBe("StatementInvalid")
    expect(await refusal("SELECT 1 /* open")).toBe("StatementInvalid")
  })

  test("security: a text that overruns the parser is refused, and the next is read as before", async () => {
    const deep = [`SELECT ${"(".repeat(30_000)}1${")".repeat(30_000)}`, `SELECT 1${"+1".repeat(32_000)}`]
    for (const sql of deep) {
      await read(sql)
      expect(await read("SELECT 1")).toMatchObject({ kind: "select" })
    }
    expect(await refusal(`SELECT '${"x".repeat(70_000)}'`)).toBe("StatementRefused")
  })
})
