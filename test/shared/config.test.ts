/** Settings: what stops the start names the key and never the value; secrets come from files, and weak ones are refused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Config, ConfigProvider, Effect, Redacted, Result } from "effect"
import { type Env, readConfig, secret, strongSecret } from "#shared/config.ts"

const planted = "hunter2-value"
const strong = "0123456789abcdefghijklmnopqrstuv"

const read = async <A>(config: Config.Config<A>, env: Env, prefixes: ReadonlyArray<string> = ["APP_"]) => {
  const result = await Effect.runPromise(Effect.result(readConfig(config, env, prefixes)))
  return Result.isSuccess(result)
    ? { value: result.success }
    : { key: result.failure.key, detail: result.failure.detail, message: result.failure.message }
}

describe("a setting nobody asks for", () => {
  const port = Config.Port("APP_PORT").pipe(Config.withDefault(80))
  test("stops the start if it has our prefix", async () => {
    expect(await read(port, { APP_PORTT: planted })).toMatchObject({ key: "APP_PORTT", detail: "unknown setting" })
    expect(await read(port, { APP_PORTT: "" })).toMatchObject({ key: "APP_PORTT" })
  })
  test("is none of our business without it", async () => {
    expect(await read(port, { PATH: "/bin", OTHER_PORT: "x", APPLE: "x" })).toEqual({ value: 80 })
  })
  test("is fine if Kubernetes has set it for a Service of that name", async () => {
    const links = {
      APP_SERVICE_HOST: "10.0.0.1",
      APP_SERVICE_PORT: "80",
      APP_SERVICE_PORT_HTTP: "80",
      APP_WEB_SERVICE_HOST: "10.0.0.2",
      APP_WEB_PORT: "tcp://10.0.0.2:80",
      APP_WEB_PORT_80_TCP: "tcp://10.0.0.2:80",
      APP_WEB_PORT_80_TCP_PROTO: "tcp",
      APP_WEB_PORT_80_TCP_PORT: "80",
      APP_WEB_PORT_80_TCP_ADDR: "10.0.0.2"
    }
    expect(await read(port, links)).toEqual({ value: 80 })
    expect(await read(port, { APP_SERVICE_HOSTS: "x" })).toMatchObject({ key: "APP_SERVICE_HOSTS" })
  })
  test("is not what a setting with a default is, set or not", async () => {
    const all = Config.all({ port, name: Config.String("APP_NAME").pipe(Config.withDefault("x")) })
    expect(await read(all, { APP_PORT: "1", APP_NAME: "y" })).toEqual({ value: { port: 1, name: "y" } })
  })
})

describe("a setting that cannot be", () => {
  const kinds: ReadonlyArray<readonly [string, Config.Config<unknown>]> = [
    ["a port", Config.Port("APP_X")],
    ["an integer", Config.Int("APP_X")],
    ["a number", Config.Number("APP_X")],
    ["a boolean", Config.Boolean("APP_X")],
    ["a URL", Config.URL("APP_X")],
    ["a duration", Config.Duration("APP_X")],
    ["one of several words", Config.Literals(["yes", "no"], "APP_X")],
    ["a date", Config.Date("APP_X")],
    ["one of several words with a default", Config.Literals(["yes", "no"], "APP_X").pipe(Config.withDefault("no"))],
    ["a strong secret", strongSecret("APP_X")]
  ]
  for (const [what, config] of kinds) {
    test(`is named and its value is not: ${what}`, async () => {
      for (const value of [planted, `${planted}\n, got more`, `at ["OTHER_KEY"] ${planted}`]) {
        const failure = await read(config, { APP_X: value })
        expect(failure.key).toBe("APP_X")
        expect(failure.message).not.toContain("hunter2")
        expect(failure.message).toStartWith("APP_X: ")
        expect(failure.message!.length).toBeGreaterThan("APP_X: ".length)
      }
    })
  }
  test("is named and its value is not, where the check's own message repeats it", async () => {
    const telling = Config.String("APP_X").pipe(
      Config.mapEffect((value) =>
        Effect.fail(
          new Config.ConfigError(
            new ConfigProvider.SourceError({ message: `Expected a name, got ${value} at ["APP_X"]` })
          )
        )
      )
    )
    expect((await read(telling, { APP_X: planted })).message).toBe("APP_X: Expected a name")
  })
  test("is named when it is missing", async () => {
    expect(await read(Config.String("APP_NAME"), {})).toMatchObject({ key: "APP_NAME" })
    expect(await read(Config.String("APP_NAME"), { APP_NAME: "" })).toMatchObject({ key: "APP_NAME" })
    expect(await read(Config.all({ a: Config.Int("APP_A"), b: Config.Int("APP_B") }), { APP_A: "1" })).toMatchObject({
      key: "APP_B"
    })
  })
})

describe("a secret", () => {
  let folder: string
  const file = (content: string) => {
    const path = join(folder, "secret")
    writeFileSync(path, content)
    return path
  }
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "gatehouse-config-"))
  })
  afterAll(() => rmSync(folder, { recursive: true }))
  const value = async (env: Env) => {
    const result = await read(secret("APP_KEY"), env)
    return "value" in result ? Redacted.value(result.value!) : result.message
  }

  test("is its variable's value, or the content of the file that is named, without the last line end", async () => {
    expect(await value({ APP_KEY: planted })).toBe(planted)
    expect(await value({ APP_KEY_FILE: file(planted) })).toBe(planted)
    expect(await value({ APP_KEY_FILE: file(`${planted}\n`) })).toBe(planted)
    expect(await value({ APP_KEY_FILE: file(`${planted}\r\n`) })).toBe(planted)
    expect(await value({ APP_KEY_FILE: file(`${planted} \n\n`) })).toBe(`${planted} \n`)
  })
  test("is missed by name, and refused if given twice or in no readable file", async () => {
    expect(await value({})).toStartWith("APP_KEY: ")
    expect(await value({ APP_KEY: planted, APP_KEY_FILE: file(planted) })).toBe(
      "APP_KEY: set it or APP_KEY_FILE, not both"
    )
    expect(await value({ APP_KEY_FILE: join(folder, "none") })).toBe("APP_KEY_FILE: the file cannot be read")
    expect(await value({ APP_KEY_FILE: folder })).toBe("APP_KEY_FILE: the file cannot be read")
  })
  test("shows nowhere when it is printed", async () => {
    const result = await read(secret("APP_KEY"), { APP_KEY: planted })
    expect(`${String(result.value)} ${JSON.stringify(result)} ${Bun.inspect(result)}`).not.toContain("hunter2")
  })
  test("is strong from 32 bytes on, and not of one character", async () => {
    const verdict = async (text: string) => (await read(strongSecret("APP_KEY"), { APP_KEY: text })).message ?? "ok"
    expect(await verdict(strong)).toBe("ok")
    expect(await verdict(strong.slice(1))).toContain("weak secret")
    expect(await verdict("a".repeat(64))).toContain("weak secret")
    expect(await verdict("ab".repeat(32))).toContain("weak secret")
    // 32 bytes, not 32 characters.
    expect(await verdict("äöüßéèêëàâôûîïçñ")).toBe("ok")
    expect((await read(strongSecret("APP_KEY"), { APP_KEY_FILE: file("short\n") })).message).toContain("weak secret")
  })
})
