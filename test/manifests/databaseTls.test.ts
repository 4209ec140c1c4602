/** How the databases of the rendered environments are spoken to: with TLS alone, each with a key that nobody else has. */
import { expect, test } from "bun:test"
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { listAt, textAt, textsAt } from "#shared/kubernetes/fields.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { cannotRender, environments, overlay } from "./render.ts"
import { volumesOf, workloadsOf } from "./workloads.ts"

const missing = cannotRender()

skipUnless(missing === undefined, missing ?? "").describe("an environment's databases", () => {
  test("security: lets a database alone have its key, and every client know whom to believe", () => {
    for (const workload of workloadsOf(overlay("prod"))) {
      const secretsOf = (fields: unknown) =>
        listAt(fields, "volumeMounts").flatMap((mount) => {
          const volume = volumesOf(workload).find((one) => textAt(one, "name") === textAt(mount, "name"))
          return textAt(volume, "secret", "secretName") ?? []
        })
      for (const { fields } of workload.containers) {
        const names = secretsOf(fields)
        const keys = names.filter((name) => name.endsWith("-db-tls"))
        expect(keys).toEqual(workload.name.endsWith("-db") ? [`${workload.name}-tls`] : [])
        const isClient = !["dashboard", "gateway-db", "logging-db", "data-db"].includes(workload.name)
        expect([workload.name, names.includes("database-authority")]).toEqual([workload.name, isClient])
      }
    }
  })

  test("security: lets nobody into a database without TLS and a password", () => {
    for (const environment of environments) {
      const access = overlay(environment).filter(
        ({ kind, metadata }) => kind === "ConfigMap" && metadata.name.startsWith("database-access-")
      )
      expect(access).toHaveLength(1)
      const lines = (textsAt(access[0], "data")["pg_hba.conf"] ?? "")
        .split("\n")
        .filter((line) => line !== "" && !line.startsWith("#"))
        .map((line) => line.split(/ +/u).join(" "))
      expect(lines).toEqual(["local all all trust", "hostssl all all all scram-sha-256"])
      for (const { containers, name } of workloadsOf(overlay(environment))) {
        if (!name.endsWith("-db")) continue
        const settings = listAt(containers[0]?.fields, "args")
        for (const setting of [
          "ssl=on",
          "ssl_min_protocol_version=TLSv1.3",
          "hba_file=/etc/gatehouse/database/pg_hba.conf"
        ]) {
          expect(settings).toContain(setting)
        }
      }
    }
  })

  test("reads a certificate again when it is another one, and is not told to otherwise", () => {
    const folder = mkdtempSync(join(tmpdir(), "gatehouse-probe-"))
    try {
      const file = (name: string) => join(folder, name)
      for (const [name, line] of [
        ["pg_isready", `test ! -e ${file("away")}`],
        ["pg_ctl", `echo "$*" >>${file("told")}`]
      ] as const) {
        writeFileSync(file(name), `#!/bin/sh\n${line}\n`, { mode: 0o755 })
      }
      const database = workloadsOf(overlay("prod")).find(({ name }) => name === "data-db")!
      const [program = "", flag = "", script = ""] = listAt(
        database.containers[0]?.fields,
        "readinessProbe",
        "exec",
        "command"
      ).map(String)
      const here = script.replaceAll(/\/run\/secrets\/tls\/|\/tmp\//gu, `${folder}/`)
      const probe = () =>
        Bun.spawnSync([program, flag, here], { env: { PATH: `${folder}:${process.env["PATH"]}` } }).exitCode
      const told = () => (existsSync(file("told")) ? readFileSync(file("told"), "utf8") : "")
      /** Seconds since 1970, so that no two looks are in one tick of the file system's clock. */
      const renewedAt = (seconds: number) => {
        writeFileSync(file("tls.crt"), String(seconds))
        utimesSync(file("tls.crt"), seconds, seconds)
      }
      renewedAt(1_000_000_000)
      writeFileSync(file("away"), "")
      expect([probe(), told()]).toEqual([1, ""])
      rmSync(file("away"))
      // What was renewed before the first look may be older than what the server has read.
      expect([probe(), told()]).toEqual([0, "reload --silent\n"])
      expect([probe(), told()]).toEqual([0, "reload --silent\n"])
      renewedAt(2_000_000_000)
      expect([probe(), told()]).toEqual([0, "reload --silent\n".repeat(2)])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
