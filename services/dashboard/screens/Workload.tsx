/** One workload; filled in the next step. */
import { Guarded, ScreenHead } from "../components/ScreenHead.tsx"
import type { ScreenProps } from "../pages.ts"
import { mayI } from "../rights.ts"

export const WorkloadScreen = ({ me, params }: ScreenProps) => (
  <Guarded allowed={mayI(me, "admin", "read")} title={params["name"]!} what="the workloads" needs="admin:read">
    <ScreenHead title={params["name"]!} />
  </Guarded>
)
