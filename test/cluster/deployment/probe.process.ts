/** Tries TCP connections from the network namespace it is started in: a JSON list of `host:port` on standard input, those that answered on standard output; must send nothing. */
import { connect } from "node:net"

/** Milliseconds after which a connection counts as swallowed; a policy gives no answer at all. */
const patience = 5000

const opens = (target: string) =>
  new Promise<boolean>((resolve) => {
    const [host, port] = target.split(":")
    const socket = connect({ host: host!, port: Number(port) })
    const end = (open: boolean) => {
      socket.destroy()
      resolve(open)
    }
    socket.setTimeout(patience, () => end(false))
    socket.once("connect", () => end(true))
    socket.once("error", () => end(false))
  })

const targets = JSON.parse(await Bun.stdin.text()) as ReadonlyArray<string>
const answers = await Promise.all(targets.map(async (target) => [target, await opens(target)] as const))
console.log(JSON.stringify(answers.filter(([, open]) => open).map(([target]) => target)))
process.exit(0)
