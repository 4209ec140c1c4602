/** What every Kubernetes behind the port does, the simulated one and the real one: one suite, so that the simulation cannot drift; holds no fixture. */
import { afterAll, describe, setDefaultTimeout } from "bun:test"
import { controllersContract } from "./controllersContract.ts"
import { readsContract } from "./readsContract.ts"
import { makeBench, type Target } from "./target.ts"
import { writesContract } from "./writesContract.ts"

/** Registers the suite for `target`. */
export const kubernetesContract = (target: Target): void => {
  describe(`Kubernetes: ${target.title}`, () => {
    setDefaultTimeout(120_000)
    const bench = makeBench(target)
    afterAll(() => bench.dispose())
    writesContract(bench)
    readsContract(bench, target)
    controllersContract(bench, target)
  })
}
