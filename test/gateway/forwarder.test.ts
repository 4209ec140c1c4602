/** R17: bytes pass as they come, in both directions, and either side's end reaches the other. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { createHash } from "node:crypto"
import { connect, type Socket } from "node:net"
import { type Echo, type EchoUpstream, gzipped, startEcho } from "#test/gateway/echoUpstream.ts"
import { type GatewayFixture, type Person, provider, startGateway } from "#test/gateway/fixture.ts"
import { freePort } from "#test/shared/freePort.ts"
import { exchange, rawUpstream, request } from "#test/gateway/rawHttp.ts"

setDefaultTimeout(60_000)

let echo: EchoUpstream
let gateway: GatewayFixture

const routes = async (upstream: string) => [
  { id: "open", path: "/open", upstream, service: "open", public: true },
  { id: "shut", path: "/shut", upstream, service: "monitor", rules: [{ action: "read" }] },
  { id: "small", path: "/small", upstream, service: "small", public: true, maxBodyBytes: 1000 },
  { id: "hasty", path: "/hasty", upstream, service: "hasty", public: true, firstByteTimeoutMs: 500 },
  { id: "patient", path: "/patient", upstream, service: "patient", public: true, firstByteTimeoutMs: 60_000 },
  { id: "gone", path: "/gone", upstream: `http://127.0.0.1:${await freePort()}`, service: "gone", public: true }
]
const start = async (listen = {}) =>
  startGateway({ settings: { providers: [provider], routes: await routes(echo.url) }, listen })

beforeAll(async () => {
  echo = startEcho()
  gateway = await start()
})
afterAll(async () => {
  await gateway?.stop()
  await echo?.stop()
})

const host = () => new URL(gateway.origin).host
const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes)
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

/** A stream opened through a gateway, with the hand of the upstream that feeds it. */
const open = async (path: string, init: RequestInit = {}, door = gateway) => {
  const [feed, response] = await Promise.all([
    echo.nextFeed().then((next) => {
      next.send("data: 0\n\n")
      return next
    }),
    door.ask(path, init)
  ])
  expect(response.status).toBe(200)
  const reader = response.body!.getReader()
  const read = async () => text((await reader.read()).value)
  expect(await read()).toBe("data: 0\n\n")
  return { feed, read, reader }
}

describe("R17: server-sent events", () => {
  test("each event is there before the next is sent", async () => {
    const { feed, read } = await open("/open/sse")
    for (const event of ["data: 1\n\n", ": ping\n\n", "id: 2\ndata: 2\n\n"]) {
      feed.send(event)
      expect(await read()).toBe(event)
    }
    feed.end()
    expect(await read()).toBe("")
  })
  test("a client that goes away is gone for the upstream at once", async () => {
    const { feed, reader } = await open("/open/sse")
    const left = performance.now()
    await reader.cancel()
    await feed.gone
    expect(performance.now() - left).toBeLessThan(1000)
  })
  test("an upstream that breaks off ends the stream", async () => {
    const { feed, read } = await open("/open/sse")
    feed.fail()
    expect(await read().catch(() => "")).toBe("")
  })
})

test("R17: the listener closes what is silent, but no stream of events and no request to a slow route", async () => {
  const impatient = await start({ idleSeconds: 1 })
  const { feed, read } = await open("/open/sse", {}, impatient)
  let slow = "waiting"
  const reached = echo.nextNever()
  const awaited = impatient.ask("/patient/never").then(
    () => (slow = "answered"),
    () => (slow = "cut")
  )
  await reached
  // Begun after the others and cut for its silence: the proof that they would have been.
  expect(await impatient.ask("/open/never").catch(() => "cut")).toBe("cut")
  feed.send("data: still here\n\n")
  expect(await read()).toBe("data: still here\n\n")
  expect(slow).toBe("waiting")
  await impatient.stop()
  await awaited
})

describe("R12: a stream ends within five seconds when its caller may no longer see it", () => {
  const until = async (
    change: (person: Person) => string,
    credential: (person: Person) => Promise<Record<string, string>>
  ) => {
    const person = await gateway.person([{ role: "viewer" }])
    const { feed, read } = await open("/shut/sse", { headers: await credential(person) })
    const changed = performance.now()
    await gateway.database.query(change(person))
    expect(await read()).toBe("")
    await feed.gone
    expect(performance.now() - changed).toBeLessThan(5000)
  }
  const byCookie = async ({ cookie }: Person) => ({ cookie })
  const byToken = async (person: Person) => ({ authorization: `Bearer ${await gateway.token(person)}` })
  const changes: Readonly<Record<string, (person: Person) => string>> = {
    "the session ends": ({ sessionId }) => `DELETE FROM sessions WHERE id = '${sessionId}'`,
    "the right is removed": ({ userId }) => `DELETE FROM grants WHERE user_id = '${userId}'`,
    "the person is disabled": ({ userId }) => `UPDATE users SET disabled = true WHERE id = '${userId}'`
  }
  for (const [what, change] of Object.entries(changes)) {
    test.concurrent(`${what}, by cookie`, () => until(change, byCookie))
    test.concurrent(`${what}, by token`, () => until(change, byToken))
  }
  test.concurrent("another's stream goes on", async () => {
    const [stays, goes] = [await gateway.person([{ role: "viewer" }]), await gateway.person([{ role: "viewer" }])]
    const staying = await open("/shut/sse", { headers: { cookie: stays.cookie } })
    const going = await open("/shut/sse", { headers: { cookie: goes.cookie } })
    await gateway.database.query(`DELETE FROM sessions WHERE id = '${goes.sessionId}'`)
    expect(await going.read()).toBe("")
    staying.feed.send("data: 1\n\n")
    expect(await staying.read()).toBe("data: 1\n\n")
    await staying.reader.cancel()
  })
})

test("a gateway that drains ends its streams, and those that still come", async () => {
  const draining = await start()
  const { feed, read } = await open("/open/sse", {}, draining)
  draining.service.drain()
  expect(await read()).toBe("")
  await feed.gone
  const late = echo.nextFeed().then((next) => {
    next.send("data: 0\n\n")
    return next.gone
  })
  expect(await (await draining.ask("/open/sse")).text()).toBe("")
  await late
  await draining.stop()
})

describe("R17: a client that gives up is given up at the upstream within a second", () => {
  for (const method of ["GET", "POST"]) {
    test(`before the first byte of the answer to a ${method}`, async () => {
      const abort = new AbortController()
      const coming = echo.nextNever()
      const asked = gateway
        .ask("/open/never", { method, signal: abort.signal, ...(method === "POST" ? { body: "x" } : {}) })
        .catch(() => "aborted")
      const { aborted } = await coming
      const left = performance.now()
      abort.abort()
      await aborted
      expect(performance.now() - left).toBeLessThan(1000)
      expect(await asked).toBe("aborted")
    })
  }
  test("in the middle of an answer", async () => {
    const { feed, reader } = await open("/open/stream")
    await reader.cancel()
    await feed.gone
  })
  test("in the middle of an upload", async () => {
    const heads = Promise.withResolvers<Socket>()
    const upstream = await rawUpstream((_, socket) => {
      heads.resolve(socket)
      return undefined
    })
    const door = await startGateway({
      settings: {
        providers: [provider],
        routes: [{ id: "open", path: "/open", upstream: upstream.url, service: "open", public: true }]
      }
    })
    const client = connect(door.port, "127.0.0.1")
    client.write(
      `POST /open HTTP/1.1\r\nHost: ${new URL(door.origin).host}\r\nContent-Length: 1000000\r\n\r\n${"x".repeat(1000)}`
    )
    const socket = await heads.promise
    const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()))
    client.destroy()
    await closed
    await door.stop()
    await upstream.stop()
  })
})

describe("R17: an upstream that breaks off is no complete answer", () => {
  const broken = async (answer: string) => {
    const upstream = await rawUpstream(answer)
    const door = await startGateway({
      settings: {
        providers: [provider],
        routes: [{ id: "open", path: "/open", upstream: upstream.url, service: "open", public: true }]
      }
    })
    const seen = await exchange(door.port, request("GET", "/open", new URL(door.origin).host))
    await door.stop()
    await upstream.stop()
    return seen
  }
  test("in the middle of a declared length", async () => {
    const { body, header, status } = await broken("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    const complete = status === 200 && (header("content-length") === String(body.length) || body.endsWith("0\r\n\r\n"))
    expect(complete).toBe(false)
  })
  test("in the middle of a chunk", async () => {
    const { body, status } = await broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhel")
    expect(status === 200 && body.endsWith("0\r\n\r\n")).toBe(false)
  })
  test("before its head", async () => {
    expect((await broken("")).status).toBe(502)
    expect((await broken("HTTP/1.1 200 OK\r\nContent-")).status).toBe(502)
    expect((await broken("garbage\r\n\r\n")).status).toBe(502)
  })
})

describe("R17: bodies and status come as the upstream sent them", () => {
  test("gzip stays gzip, byte by byte", async () => {
    const answer = await gateway.ask("/open/gzip", { decompress: false } as RequestInit)
    expect(answer.headers.get("content-encoding")).toBe("gzip")
    expect(answer.headers.get("content-length")).toBe(String(gzipped.length))
    expect(sha256(new Uint8Array(await answer.arrayBuffer()))).toBe(sha256(gzipped))
    expect(await (await gateway.ask("/open/gzip")).text()).toBe("compressed ".repeat(500))
  })
  test("HEAD has no body, and the length a GET would have", async () => {
    const answer = await exchange(gateway.port, request("HEAD", "/open/gzip", host()))
    expect([answer.status, answer.body, answer.header("content-length")]).toEqual([200, "", String(gzipped.length)])
  })
  test("204 and 304 have no body", async () => {
    for (const code of [204, 304]) {
      const answer = await exchange(gateway.port, request("GET", `/open/status?code=${code}`, host()))
      expect([answer.status, answer.body, answer.header("transfer-encoding")]).toEqual([code, "", undefined])
      expect(answer.header("etag")).toBe('"one"')
    }
  })
  test("a redirect is the client's to follow", async () => {
    const answer = await gateway.ask("/open/found")
    expect([answer.status, answer.headers.get("location")]).toEqual([302, "/elsewhere"])
  })
  test("error codes stay, with their bodies", async () => {
    for (const code of [400, 401, 404, 418, 429, 500, 503])
      expect((await gateway.ask(`/open/status?code=${code}`)).status).toBe(code)
  })
})

describe("R17: uploads", () => {
  const declared = (path: string, length: number, body: string) =>
    exchange(gateway.port, request("POST", path, host(), [`Content-Length: ${length}`]) + body)
  test("arrive whole, by length or in chunks, for every method that has a body", async () => {
    const bytes = new Uint8Array(300_000).map((_, index) => index % 251)
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      const stream = new ReadableStream({
        start: (out) => {
          for (let at = 0; at < bytes.length; at += 10_000) out.enqueue(bytes.slice(at, at + 10_000))
          out.close()
        }
      })
      for (const body of [bytes, stream, bytes.slice(0, 10)]) {
        const told = (await (await gateway.ask("/open/x", { method, body })).json()) as Echo
        expect([told.method, told.hash]).toEqual([method, sha256(body === stream ? bytes : (body as Uint8Array))])
      }
    }
  })
  test("too large by Content-Length are 413 before the upstream is asked", async () => {
    const before = echo.count()
    expect((await declared("/small", 1001, "")).status).toBe(413)
    expect((await declared("/open", 3 * 1024 ** 3, "")).status).toBe(413)
    expect(echo.count()).toBe(before)
    expect((await declared("/small", 1000, "x".repeat(1000))).status).toBe(200)
  })
  test("too large by count are 413, in whatever chunks they come", async () => {
    const chunked = (chunks: ReadonlyArray<string>) =>
      exchange(
        gateway.port,
        `${request("POST", "/small", host(), ["Transfer-Encoding: chunked"])}${chunks.map((one) => `${one.length.toString(16)}\r\n${one}\r\n`).join("")}0\r\n\r\n`
      )
    expect((await chunked(["x".repeat(1000)])).status).toBe(200)
    expect((await chunked(["x".repeat(1001)])).status).toBe(413)
    expect((await chunked(Array(101).fill("x".repeat(10)))).status).toBe(413)
  })
  test("whose sender waits to be asked for the body are asked", async () => {
    const answer = await exchange(
      gateway.port,
      `${request("POST", "/open", host(), ["Content-Length: 5", "Expect: 100-continue"])}hello`
    )
    const last = answer.status === 100 ? answer.body : `HTTP/1.1 ${answer.status}`
    expect(last).toStartWith("HTTP/1.1 200")
  })
  test("may take longer than the first byte of an answer", async () => {
    const pieces = 8
    let sent = 0
    const body = new ReadableStream<Uint8Array>({
      pull: async (out) => {
        // An upload of a second, in pieces: none is silent for as long as the route's 500 ms.
        await Bun.sleep(150)
        if (sent++ < pieces) out.enqueue(new Uint8Array(1000))
        else out.close()
      }
    })
    const answer = await gateway.ask("/hasty/x", { method: "POST", body })
    expect(((await answer.json()) as Echo).bytes).toBe(pieces * 1000)
  })
})

describe("an upstream that does not answer", () => {
  test("in time is 504, and an upload to it is given up", async () => {
    for (const method of ["GET", "POST"]) {
      const coming = echo.nextNever()
      const answer = await gateway.ask("/hasty/never", { method, ...(method === "POST" ? { body: "x" } : {}) })
      expect(answer.status).toBe(504)
      expect(await answer.json()).toMatchObject({ code: "upstream_timeout", title: "Upstream too slow" })
      const { aborted } = await coming
      if (method === "POST") await aborted
    }
  })
  test("to a crowd is given up for whoever had to wait", async () => {
    const abort = new AbortController()
    const crowd = 70
    const asked = Array.from({ length: crowd }, async () => {
      const coming = echo.nextNever()
      const answer = gateway.ask("/hasty/never", { signal: abort.signal })
      return { status: (await answer).status, never: await coming }
    })
    const all = await Promise.all(asked)
    expect(all.map(({ status }) => status)).toEqual(Array(crowd).fill(504))
    await Promise.race(all.map(({ never }) => never.aborted))
    abort.abort()
  })
  test("because nobody listens is 502", async () => {
    for (const method of ["GET", "POST", "DELETE"]) expect((await gateway.ask("/gone/x", { method })).status).toBe(502)
  })
})

describe("R17: 256 MiB pass without being kept", () => {
  const size = 256 * 1024 ** 2
  const allowed = 64 * 1024 ** 2
  interface Memory {
    readonly now: number
    readonly peak: number
  }
  let child: Bun.Subprocess
  const answers: Array<(message: Memory) => void> = []
  let url = ""
  const memory = () =>
    new Promise<Memory>((resolve) => {
      answers.push(resolve)
      child.send("memory")
    })

  beforeAll(async () => {
    // A gateway of the fixture gives database and settings; the one that is measured is a second process on them.
    const port = await freePort()
    url = `http://localhost:${port}`
    const ready = Promise.withResolvers<void>()
    child = Bun.spawn([process.execPath, `${import.meta.dir}/gateway.process.ts`], {
      env: {
        ...process.env,
        PORT: String(port),
        ENVIRONMENT: "test",
        LOG_LEVEL: "Error",
        GATEWAY_PUBLIC_URL: url,
        GATEWAY_FILE: gateway.settingsFile,
        GATEWAY_DATABASE_URL: gateway.database.url,
        GATEWAY_SECRET: "a secret of this test alone, longer than 32 bytes",
        TEST_CLIENT_SECRET: "client secret"
      },
      stdio: ["ignore", "inherit", "inherit"],
      ipc: (message: Memory | { readonly port: number }) => {
        if ("port" in message) ready.resolve()
        else answers.shift()?.(message)
      },
      onExit: (_, code) => ready.reject(new Error(`the gateway ended with ${code}`))
    })
    await ready.promise
  })
  afterAll(async () => {
    child?.kill("SIGKILL")
    await child?.exited
  })

  const download = async (bytes: number) => {
    let got = 0
    const { body } = await fetch(`${url}/open/big?bytes=${bytes}`)
    for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) got += chunk.byteLength
    return got
  }
  const upload = async (bytes: number) => {
    const piece = new Uint8Array(256 * 1024)
    let left = bytes
    const body = new ReadableStream<Uint8Array>({
      pull: (out) => {
        if (left <= 0) return out.close()
        out.enqueue(piece.slice(0, Math.min(left, piece.length)))
        left -= piece.length
      }
    })
    const answer = await fetch(`${url}/open/x`, { method: "POST", body })
    return ((await answer.json()) as Echo).bytes
  }
  /** An upload with its length declared, as `curl -T` sends it. */
  const declaredUpload = (bytes: number) =>
    new Promise<number>((resolve, reject) => {
      const { host: name, port } = new URL(url)
      const piece = Buffer.alloc(256 * 1024)
      let left = bytes
      let answer = ""
      const socket = connect(Number(port), "127.0.0.1")
      const write = () => {
        while (left > 0) {
          left -= piece.length
          if (!socket.write(piece)) return void socket.once("drain", write)
        }
      }
      socket.write(`PUT /open/x HTTP/1.1\r\nHost: ${name}\r\nContent-Length: ${bytes}\r\nConnection: close\r\n\r\n`)
      write()
      socket.on("data", (chunk) => (answer += String(chunk)))
      socket.on("error", reject)
      socket.on("close", () => resolve((JSON.parse(answer.slice(answer.indexOf("\r\n\r\n"))) as Echo).bytes))
    })

  for (const [what, pass] of Object.entries({
    download,
    "upload in chunks": upload,
    "upload of a declared length": declaredUpload
  })) {
    test(what, async () => {
      expect(await pass(8 * 1024 ** 2)).toBe(8 * 1024 ** 2)
      const { now } = await memory()
      expect(await pass(size)).toBe(size)
      const { peak } = await memory()
      console.log(`${what}: ${((peak - now) / 1024 ** 2).toFixed(0)} MiB more resident at most`)
      expect(peak - now).toBeLessThan(allowed)
    })
  }
})
