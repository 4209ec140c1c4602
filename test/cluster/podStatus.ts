/** The status that a kubelet reports for a pod in a few telling states; pure. */

export type PodState =
  /** Running and ready. */
  | "running"
  /** Running, and its readiness probe fails. */
  | "never-ready"
  /** Its image cannot be had. */
  | "image-pull-backoff"
  | "succeeded"
  | "failed"
  /** Its containers end soon after each start, and wait for the next. */
  | { readonly crashLoop: { readonly restarts: number; readonly exitCode: number } }

interface Pod {
  readonly name: string
  readonly address: string
  readonly containers: ReadonlyArray<{ readonly name: string; readonly image: string }>
}

const container = (state: PodState, pod: Pod, now: string) => {
  const terminated = (exitCode: number) => ({
    terminated: { exitCode, reason: exitCode === 0 ? "Completed" : "Error", startedAt: now, finishedAt: now }
  })
  switch (state) {
    case "running":
      return { ready: true, started: true, restartCount: 0, state: { running: { startedAt: now } } }
    case "never-ready":
      return { ready: false, started: true, restartCount: 0, state: { running: { startedAt: now } } }
    case "image-pull-backoff": {
      const waiting = { reason: "ImagePullBackOff", message: "Back-off pulling image" }
      return { ready: false, started: false, restartCount: 0, state: { waiting } }
    }
    case "succeeded":
      return { ready: false, started: false, restartCount: 0, state: terminated(0) }
    case "failed":
      return { ready: false, started: false, restartCount: 0, state: terminated(1) }
    default: {
      const { exitCode, restarts } = state.crashLoop
      const message = `back-off 10s restarting failed container pod=${pod.name}`
      const waiting = { reason: "CrashLoopBackOff", message }
      const lastState = terminated(exitCode)
      return { ready: false, started: false, restartCount: restarts, state: { waiting }, lastState }
    }
  }
}

const phase = (state: PodState) => {
  if (state === "succeeded") return "Succeeded"
  if (state === "failed") return "Failed"
  return state === "image-pull-backoff" ? "Pending" : "Running"
}

export const podStatus = (state: PodState, pod: Pod, at = new Date()) => {
  const now = at.toISOString()
  const ready = state === "running"
  const condition = (type: string, holds: boolean) => ({
    type,
    status: holds ? "True" : "False",
    lastTransitionTime: now,
    ...(holds ? {} : { reason: state === "succeeded" ? "PodCompleted" : "ContainersNotReady" })
  })
  return {
    phase: phase(state),
    podIP: pod.address,
    podIPs: [{ ip: pod.address }],
    startTime: now,
    conditions: [
      condition("PodScheduled", true),
      condition("Initialized", true),
      condition("ContainersReady", ready),
      condition("Ready", ready)
    ],
    containerStatuses: pod.containers.map(({ image, name }) => ({
      name,
      image,
      imageID: `sha256:${"0".repeat(64)}`,
      ...container(state, pod, now)
    }))
  }
}
