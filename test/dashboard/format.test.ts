/** Numbers, times and names as people read them. */
import { describe, expect, test } from "bun:test"
import { bytes, bytesPerSecond, duration, percent, relative, userAgentName } from "#dashboard/format.ts"

/** With plain spaces, as one reads them. */
const plain = (text: string) => text.replaceAll("\u202f", " ")

describe("numbers", () => {
  test("what is not known is a dash, and 0 is 0", () => {
    for (const format of [percent, bytes, bytesPerSecond, duration]) expect(format(null)).toBe("–")
    expect(plain(percent(0))).toBe("0.0 %")
    expect(plain(bytes(0))).toBe("0 B")
    expect(percent(Number.NaN)).toBe("–")
  })

  test("bytes have three digits in powers of 1024, and never a thousand of a unit", () => {
    const cases: ReadonlyArray<readonly [number, string]> = [
      [999, "999 B"],
      [1000, "0.98 KiB"],
      [1536, "1.50 KiB"],
      [15 * 1024, "15.0 KiB"],
      [150 * 1024, "150 KiB"],
      [1023.9 * 1024, "1.00 MiB"],
      [7.75 * 1024 ** 3, "7.75 GiB"],
      [5e18, "4441 PiB"]
    ]
    for (const [value, text] of cases) expect(plain(bytes(value))).toBe(text)
    expect(plain(bytesPerSecond(2048))).toBe("2.00 KiB/s")
  })
})

describe("times", () => {
  test("a length has its two largest units", () => {
    expect(duration(3_471_200)).toBe("40 days 4 hours")
    expect(duration(3600)).toBe("1 hour")
    expect(duration(86_400 + 59)).toBe("1 day")
    expect(duration(61)).toBe("1 minute 1 second")
    expect(duration(0.4)).toBe("0 seconds")
  })

  test("a moment is told from now", () => {
    const now = Date.parse("2026-03-01T12:00:00Z")
    expect(relative("2026-03-01T11:59:50Z", now)).toBe("just now")
    expect(relative("2026-03-01T11:57:00Z", now)).toBe("3 minutes ago")
    expect(relative("2026-03-01T11:00:10Z", now)).toBe("1 hour ago")
    expect(relative("2026-03-03T12:00:00Z", now)).toBe("in 2 days")
  })
})

describe("user agents", () => {
  test("are told as browser and system, a program by its own name", () => {
    const edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36 Edg/142.0"
    expect(userAgentName(edge)).toBe("Edge on Windows")
    const headless = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/156.0.0.0 Safari/537.36"
    expect(userAgentName(headless)).toBe("Chrome on Linux")
    expect(userAgentName("curl/8.5.0")).toBe("curl/8.5.0")
  })
})
